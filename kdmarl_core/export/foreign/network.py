"""Read another project's ONNX network, and convert its graph to one that a policy file may contain."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx
import onnxruntime as ort
from onnx import external_data_helper, helper, inliner, version_converter

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.files import read_bytes
from kdmarl_core.contract.manifest import METADATA_KEY
from kdmarl_core.export.foreign.written_out import write_out
from kdmarl_core.runtime.cost import first_line, quiet_options
from kdmarl_core.runtime.onnx_file import DTYPES, OPERATORS, OPSETS

MAX_BYTES = 64 * 2**20
"""Largest accepted file of a network, or of its weights [bytes]."""

IR_VERSIONS = (8, 10)
"""Oldest and newest IR version that is written; ONNX Runtime 1.18 reads up to 10."""

Size = int | str
"""Of a dimension: fixed, or the name of a dynamic one."""


class Value(NamedTuple):
    """An input or output of a network."""

    name: str
    dtype: str
    shape: tuple[Size, ...] | None
    """None if the file does not specify it"""

    def __str__(self) -> str:
        sizes = "of unspecified shape" if self.shape is None else f"[{', '.join(map(str, self.shape))}]"
        return f"'{self.name}', {self.dtype} {sizes}"


class Network:
    """A network as read from its file.

    Attributes: ``source`` (its path, for errors), ``files`` (name → SHA-256 in hex, of the file and of its external
    weights), ``producer``, ``opset``, ``inputs`` and ``outputs``.
    """

    def __init__(self, path: Path) -> None:
        """Read the file at ``path`` and its weights.

        Raises:
            KdmarlError: a file is missing, too large, not ONNX, a policy file, or has custom operators.
        """
        self.source = str(path)
        data = read_bytes(path, MAX_BYTES, "an ONNX network (.onnx)")
        model = _parse(data, self.source)
        self.files = {path.name: hashlib.sha256(data).hexdigest()} | _embed_weights(model, path)
        self.producer = f"{model.producer_name} {model.producer_version}".strip()
        self._model = self._plain_model(model)
        constants = {tensor.name for tensor in self._model.graph.initializer}
        self.inputs = [_value(value) for value in self._model.graph.input if value.name not in constants]
        self.outputs = [_value(value) for value in self._model.graph.output]
        self.opset: int = self._model.opset_import[0].version

    def _plain_model(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Inline functions, and refuse custom operators."""
        model.ir_version = min(model.ir_version, IR_VERSIONS[1])
        if model.functions:
            model = inliner.inline_local_functions(model)
        custom = sorted({(node.domain, node.op_type) for node in _nodes(model.graph) if node.domain not in _DEFAULT})
        if custom:
            domain, operator = custom[0]
            raise KdmarlError(
                f"{self.source}: uses the custom operator '{operator}' of domain '{domain}', which robots do not have; "
                "export it with operators of the default domain only, and pack the exporter's file without changes"
            )
        default = next(each.version for each in model.opset_import if each.domain in _DEFAULT)
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("", default))
        return model

    def session(self) -> ort.InferenceSession:
        """The unchanged network in ONNX Runtime.

        Raises:
            KdmarlError: it cannot be run.
        """
        return self._open(self._model, quiet_options())

    def plain(self, shapes: Mapping[str, Sequence[int]], outputs: Sequence[str]) -> onnx.ModelProto:
        """The graph for inputs of these ``shapes``, with these ``outputs``, with operators allowed in policy files.

        Raises:
            KdmarlError: that is not possible.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        model.ir_version = max(model.ir_version, IR_VERSIONS[0])
        constants = {tensor.name for tensor in model.graph.initializer}
        for value in [each for each in model.graph.input if each.name in constants]:
            model.graph.input.remove(value)  # files from before 2019 list weights as inputs
        for value in model.graph.input:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shapes[value.name]))
        for value in [each for each in model.graph.output if each.name not in outputs]:
            model.graph.output.remove(value)
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        del model.graph.value_info[:]
        _drop_unused(model.graph)
        model = self._converted(self._simplified(model))
        write_out(model, self.source)
        _drop_unused(model.graph)
        self._check_operators(model)
        return model

    def _simplified(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Fold everything that depends on shapes alone into constants, using ONNX Runtime's optimiser."""
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "simplified.onnx"
            options = quiet_options()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = str(written)
            self._open(model, options)
            simplified = onnx.load(str(written))
        del simplified.opset_import[:]  # ONNX Runtime lists all domains that it knows
        simplified.opset_import.extend(model.opset_import)
        return simplified

    def _converted(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Convert to an opset that robots support."""
        version = model.opset_import[0].version
        if version in OPSETS:
            return model
        target = OPSETS[0] if version < OPSETS[0] else OPSETS[-1]
        try:
            return version_converter.convert_version(model, target)
        except Exception as error:  # the converter has many error types of its own
            raise KdmarlError(
                f"{self.source}: opset {version} cannot be converted to {target} ({first_line(error)}); export it with "
                f"an opset from {OPSETS[0]} to {OPSETS[-1]}"
            ) from None

    def _check_operators(self, model: onnx.ModelProto) -> None:
        others = sorted({node.op_type for node in _nodes(model.graph)} - OPERATORS)
        if others:
            raise KdmarlError(
                f"{self.source}: uses {_list(others)}, which a policy file may not contain; export a deterministic "
                "network of linear layers, GRU or LSTM cells and activations"
            )

    def _open(self, model: onnx.ModelProto, options: ort.SessionOptions) -> ort.InferenceSession:
        try:
            return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has many error types of its own
            raise KdmarlError(
                f"{self.source}: cannot be run by ONNX Runtime {ort.__version__} ({first_line(error)}); export it "
                f"again with an opset up to {OPSETS[-1]}"
            ) from None


_DEFAULT = ("", "ai.onnx")


def _parse(data: bytes, source: str) -> onnx.ModelProto:
    """Parse a model, and refuse files that cannot be packed."""
    if data[:2] == b"PK":
        raise KdmarlError(
            f"{source}: is a zip archive, as PyTorch and Stable-Baselines3 save networks; export it to ONNX with "
            "torch.onnx.export"
        )
    try:
        model = onnx.load_model_from_string(data)
    except Exception:  # protobuf's error, whose type depends on its version
        model = onnx.ModelProto()
    if not model.graph.output or not any(each.domain in _DEFAULT for each in model.opset_import):
        raise KdmarlError(f"{source}: is not an ONNX network; give a file that torch.onnx.export wrote")
    if any(entry.key == METADATA_KEY for entry in model.metadata_props):
        raise KdmarlError(f"{source}: is a policy file already; use it without packing")
    return model


def _embed_weights(model: onnx.ModelProto, path: Path) -> dict[str, str]:
    """Load weights from external files into the model; file → SHA-256."""
    tensors = [each for each in _tensors(model.graph) if external_data_helper.uses_external_data(each)]
    places = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    digests = {}
    for place in sorted(places):
        if Path(place).name != place:
            raise KdmarlError(f"{path}: its weights are in '{place}'; save them in a file in its own folder")
        try:
            data = read_bytes(path.parent / place, MAX_BYTES, "the file of the network's weights")
        except KdmarlError as error:
            raise KdmarlError(f"{path}: its weights are in another file: {error}") from None
        digests[place] = hashlib.sha256(data).hexdigest()
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx has many error types of its own
        raise KdmarlError(f"{path}: its weights cannot be read ({first_line(error)}); export it again") from None
    return digests


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    kind = (
        DTYPES.get(tensor.elem_type, f"type {tensor.elem_type}") if info.type.HasField("tensor_type") else "no tensor"
    )
    if not tensor.HasField("shape"):
        return Value(info.name, kind, None)
    sizes = (each.dim_value if each.HasField("dim_value") else each.dim_param or "?" for each in tensor.shape.dim)
    return Value(info.name, kind, tuple(sizes))


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, including those of subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All constants."""
    yield from graph.initializer
    for node in _nodes(graph):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors, *attribute.g.initializer)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that no output needs, in place."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            for each in (node, *_nodes_within(node)):
                needed.update(each.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _nodes_within(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            yield from _nodes(inner)


def _list(names: Sequence[str]) -> str:
    return f"operator {names[0]}" if len(names) == 1 else f"operators {', '.join(names[:-1])} and {names[-1]}"
