"""Parameters of nodes."""

from __future__ import annotations

Scalar = bool | int | float | str
Value = Scalar | list[bool] | list[int] | list[float] | list[str]


class ParameterValue:
    """A value that is not read as YAML."""

    def __init__(self, value: Value, *, value_type: type[Value] | None = None) -> None:
        self.value = value
        self.value_type = value_type
