"""A protobuf reader for untrusted bytes: flat, bounded, without a schema compiler.

A robot has no ``onnx`` package, and a policy file must be checked before ONNX Runtime parses it. Messages are
split into fields one level at a time, by the caller, so that nesting cannot exhaust the stack; the number of
fields of a whole file is bounded, so that a small file cannot become a large structure.
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_FIELDS = 50_000
"""Fields in one file, all messages together; a policy has some hundreds."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(Exception):
    """The bytes are not a well-formed message, or not of the expected type."""


class Budget:
    """Limits the number of fields that are read from one file."""

    def __init__(self, fields: int = MAX_FIELDS) -> None:
        self._left = fields

    def spend(self) -> None:
        """Count one field.

        Raises:
            WireError: none are left.
        """
        self._left -= 1
        if self._left < 0:
            raise WireError(f"holds more than {MAX_FIELDS} fields")


class Message:
    """One message: its fields by number, in order.

    ``known`` maps the allowed field numbers to their names. Any other field is refused, and so is a repeated
    field where one is expected: parsers merge or override these, each in its own way.
    """

    def __init__(self, data: memoryview, name: str, known: dict[int, str], budget: Budget) -> None:
        self.name = name
        self._known = known
        self._budget = budget
        self._fields: dict[int, list[tuple[int, int | memoryview]]] = {}
        for number, wire_type, value in split(data, budget):
            if number not in known:
                raise WireError(f"{name} holds field {number}, which a policy file may not")
            self._fields.setdefault(number, []).append((wire_type, value))

    def has(self, field: int) -> bool:
        """Whether the field occurs."""
        return field in self._fields

    def integers(self, field: int) -> list[int]:
        """All integers of a repeated field (packed or not), as unsigned 64-bit numbers."""
        found: list[int] = []
        for wire_type, value in self._fields.get(field, []):
            if wire_type == VARINT:
                found.append(value)  # type: ignore[arg-type]
            else:
                packed, position = self._bytes(field, wire_type, value), 0
                while position < len(packed):
                    self._budget.spend()
                    number, position = _varint(packed, position)
                    found.append(number)
        return found

    def integer(self, field: int, default: int = 0) -> int:
        """The single integer of a field, as an unsigned 64-bit number."""
        self._at_most_once(field)
        found = self.integers(field)
        return found[0] if found else default

    def blobs(self, field: int) -> list[memoryview]:
        """All byte strings of a repeated field."""
        return [self._bytes(field, wire_type, value) for wire_type, value in self._fields.get(field, [])]

    def blob(self, field: int) -> memoryview:
        """The single byte string of a field, empty if absent."""
        self._at_most_once(field)
        found = self.blobs(field)
        return found[0] if found else memoryview(b"")

    def texts(self, field: int) -> list[str]:
        """All strings of a repeated field."""
        try:
            return [str(value, "utf-8") for value in self.blobs(field)]
        except UnicodeDecodeError:
            raise WireError(f"{self._known[field]} of {self.name} is not text") from None

    def text(self, field: int) -> str:
        """The single string of a field, empty if absent."""
        self._at_most_once(field)
        return "".join(self.texts(field))

    def messages(self, field: int, known: dict[int, str]) -> list[Message]:
        """All messages of a repeated field."""
        name = f"{self._known[field]} of {self.name}"
        return [Message(value, name, known, self._budget) for value in self.blobs(field)]

    def message(self, field: int, known: dict[int, str]) -> Message:
        """The single message of a field, empty if absent."""
        return Message(self.blob(field), f"{self._known[field]} of {self.name}", known, self._budget)

    def _at_most_once(self, field: int) -> None:
        if len(self._fields.get(field, [])) > 1:
            raise WireError(f"{self._known[field]} of {self.name} stands more than once")

    def _bytes(self, field: int, wire_type: int, value: int | memoryview) -> memoryview:
        if wire_type != BYTES:
            raise WireError(f"{self._known[field]} of {self.name} has wire type {wire_type}")
        return value  # type: ignore[return-value]


def split(data: memoryview, budget: Budget) -> Iterator[tuple[int, int, int | memoryview]]:
    """The fields of one message, each as (field number, wire type, value).

    Raises:
        WireError: it is not well-formed, or has more fields than the budget.
    """
    position = 0
    while position < len(data):
        budget.spend()
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            value, position = _varint(data, position)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            length, position = _varint(data, position)
        elif wire_type in (FIXED64, FIXED32):
            length = 8 if wire_type == FIXED64 else 4
        else:
            raise WireError(f"has a field of unknown wire type {wire_type}")
        if length > len(data) - position:
            raise WireError("is truncated")
        yield number, wire_type, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read one unsigned 64-bit number; return it and the position after it."""
    result = 0
    for index in range(10):
        if position + index >= len(data):
            raise WireError("is truncated")
        byte = data[position + index]
        result |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position + index + 1
    raise WireError("has a number of more than ten bytes")


def field(number: int, value: str | bytes) -> bytes:
    """Encode one field with a string, bytes or an encoded message."""
    data = value.encode() if isinstance(value, str) else value
    return _encode_varint(number << 3 | BYTES) + _encode_varint(len(data)) + data


def _encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))
