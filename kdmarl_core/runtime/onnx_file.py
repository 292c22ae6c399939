"""Check the bytes of an ONNX file before ONNX Runtime loads them.

Only what a policy needs is accepted: one flat graph of well-known operators over small dense tensors inside
the file. Control flow, functions, custom domains, external data, sparse or string tensors and sequences are
refused, and so are operators with internal loops (GRU, LSTM, RNN): recurrent policies advance one step per run, with
plain operators.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from kdmarl_core.errors import KdmarlError
from kdmarl_core.runtime.protobuf import Budget, Message, WireError

OPSETS = range(13, 24)
"""Accepted versions of the default operator set."""

MAX_ELEMENTS = 4_194_304
"""Elements of one tensor."""

MAX_DIMS = 8
"""Dimensions of one tensor."""

MAX_NODES = 1000
"""Operators of a graph; a policy has some dozens."""

_ELEMENTWISE = (
    "Abs Add And Cast Ceil Celu Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid "
    "HardSwish Identity LeakyRelu Less LessOrEqual Log Max Min Mish Mul Neg Not Or PRelu Pow Reciprocal Relu Round "
    "Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Tanh Where"
)
_LINEAR = "Gemm MatMul"
_OVER_AXES = (
    "ArgMax LayerNormalization LogSoftmax RMSNormalization ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare Softmax"
)
_SHAPE_CHANGING = "Concat Constant Flatten Gather Reshape Shape Slice Split Squeeze Transpose Unsqueeze"
_QUANTISED = "DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearMatMul QuantizeLinear"

OPERATORS = frozenset(" ".join((_ELEMENTWISE, _LINEAR, _OVER_AXES, _SHAPE_CHANGING, _QUANTISED)).split())
"""Operators of the default domain that a policy may use: none branches, loops, reads or writes files."""

_DEFAULT_DOMAINS = ("", "ai.onnx")
_ITEM_SIZES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "text", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
"""Names of element types by their numbers."""

# Fields by number, as in onnx.proto; omitted ones are refused: training_info, functions and configuration of
# a model, sparse initializers and declarations of inner values (value_info) of a graph, subgraphs of an attribute,
# segments and strings of a tensor.
_MODEL = {
    1: "ir_version",
    2: "producer_name",
    3: "producer_version",
    4: "domain",
    5: "model_version",
    6: "doc_string",
    7: "graph",
    8: "opset_import",
    14: "metadata_props",
}
_OPSET = {1: "domain", 2: "version"}
_ENTRY = {1: "key", 2: "value"}
_GRAPH = {
    1: "node",
    2: "name",
    5: "initializer",
    10: "doc_string",
    11: "input",
    12: "output",
    16: "metadata_props",
}
_NODE = {
    1: "input",
    2: "output",
    3: "name",
    4: "op_type",
    5: "attribute",
    6: "doc_string",
    7: "domain",
    9: "metadata_props",
}
_ATTRIBUTE = {
    1: "name",
    2: "f",
    3: "i",
    4: "s",
    5: "t",
    7: "floats",
    8: "ints",
    9: "strings",
    13: "doc_string",
    20: "type",
}
_TENSOR = {
    1: "dims",
    2: "data_type",
    4: "float_data",
    5: "int32_data",
    7: "int64_data",
    8: "name",
    9: "raw_data",
    10: "double_data",
    11: "uint64_data",
    12: "doc_string",
    13: "external_data",
    14: "data_location",
}
_VALUE = {1: "name", 2: "type", 3: "doc_string", 4: "metadata_props"}
_TYPE = {1: "tensor_type", 6: "denotation"}
_TENSOR_TYPE = {1: "elem_type", 2: "shape"}
_SHAPE = {1: "dim"}
_DIMENSION = {1: "dim_value", 2: "dim_param", 3: "denotation"}


class TensorType(NamedTuple):
    """Element type and fixed shape of a graph input or output."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


class Node(NamedTuple):
    """One operator and the names of its values; an omitted bound of a Clip has an empty name."""

    operator: str
    inputs: list[str]
    outputs: list[str]


class OnnxFile(NamedTuple):
    """The interface and operators of an accepted file."""

    inputs: dict[str, TensorType]
    outputs: dict[str, TensorType]
    metadata: dict[str, str]
    nodes: list[Node]
    constants: dict[str, tuple[int, ...]]
    """name → shape"""


def read_onnx(data: bytes, source: str) -> OnnxFile:
    """Check every part of an ONNX file and return its interface; ``source`` names it in errors.

    Raises:
        KdmarlError: it is damaged, or contains something that is not allowed in a policy file.
    """
    try:
        return _read(Message(memoryview(data), "the model", _MODEL, Budget()))
    except WireError as error:
        raise KdmarlError(f"{source}: no valid policy file: {error}; export or copy the policy again") from None


def _read(model: Message) -> OnnxFile:
    _check_opsets(model)
    if not model.has(7):
        raise WireError("holds no graph")
    graph = model.message(7, _GRAPH)
    nodes = graph.messages(1, _NODE)
    if len(nodes) > MAX_NODES:
        raise WireError(f"has {len(nodes)} operations, at most {MAX_NODES} are allowed")
    for node in nodes:
        _check_node(node)
    initializers = graph.messages(5, _TENSOR)
    for tensor in initializers:
        _check_tensor(tensor)
    constants = {tensor.text(8): tuple(tensor.integers(1)) for tensor in initializers}
    if len(constants) < len(initializers):
        raise WireError("has two initializers of one name")
    inputs = _interface(graph, 11)
    if overridable := constants.keys() & inputs.keys():
        raise WireError(f"initializer '{min(overridable)}' is a graph input too")
    operations = [Node(node.text(4), node.texts(1), node.texts(2)) for node in nodes]
    return OnnxFile(inputs, _interface(graph, 12), _metadata(model), operations, constants)


def _check_opsets(model: Message) -> None:
    opsets = [(opset.text(1), opset.integer(2)) for opset in model.messages(8, _OPSET)]
    for domain, version in opsets:
        if domain not in _DEFAULT_DOMAINS:
            raise WireError(f"it uses operators of domain '{domain}', only the default domain may be used")
        if version not in OPSETS:
            raise WireError(f"it uses opset {version}, {OPSETS[0]} to {OPSETS[-1]} are supported")
    if len(opsets) != 1:
        raise WireError(f"it names {len(opsets)} operator sets, exactly one may be used")


def _check_node(node: Message) -> None:
    operator, domain = node.text(4), node.text(7)
    if domain not in _DEFAULT_DOMAINS:
        raise WireError(f"operator '{operator}' is of domain '{domain}', only the default domain may be used")
    if operator not in OPERATORS:
        raise WireError(f"operator '{operator}' is not allowed in a policy")
    inputs, outputs = node.texts(1), node.texts(2)
    # ONNX Runtime crashes if a required input is omitted; only Clip may omit its lower bound and have an upper one.
    if not all(outputs) or not all(inputs[:1] if operator == "Clip" else inputs):
        raise WireError(f"operator '{operator}' leaves out a value; give all its inputs and outputs names")
    for attribute in node.messages(5, _ATTRIBUTE):
        if attribute.has(5):
            _check_tensor(attribute.message(5, _TENSOR))


def _check_tensor(tensor: Message) -> None:
    """Check that a tensor has dense numbers inside the file, exactly as many as its shape requires."""
    name = f"tensor '{tensor.text(8)}'"
    if tensor.has(13) or tensor.integer(14) != 0:
        raise WireError(f"{name} has its data in another file; keep all data inside")
    kind = tensor.integer(2)
    if kind not in _ITEM_SIZES:
        raise WireError(f"{name} has element type {kind}, only numbers are allowed")
    dims = tensor.integers(1)
    elements = math.prod(dims[:MAX_DIMS])  # thousands of dimensions would take seconds, and block a driving robot
    if len(dims) > MAX_DIMS or max(elements, *dims, 0) > MAX_ELEMENTS:
        raise WireError(
            f"{name} has shape {dims[:8]}, at most {MAX_DIMS} dimensions and {MAX_ELEMENTS} elements may be"
        )
    held = [field for field in (4, 5, 7, 9, 10, 11) if tensor.has(field)]
    if len(held) > 1:
        raise WireError(f"{name} holds its data twice")
    found = _stored_elements(tensor, held[0], _ITEM_SIZES[kind]) if held else 0
    if found != elements:
        raise WireError(f"{name} of shape {dims} holds {found:g} elements")


def _stored_elements(tensor: Message, field: int, item_size: int) -> float:
    """Number of elements in a data field; only ``raw_data`` and packed fields are supported."""
    data = tensor.blob(field)
    if field in (5, 7, 11):
        return int(np.count_nonzero(np.frombuffer(data, np.uint8) < 0x80))
    return len(data) / {4: 4, 9: item_size, 10: 8}[field]


def _interface(graph: Message, field: int) -> dict[str, TensorType]:
    values: dict[str, TensorType] = {}
    for value in graph.messages(field, _VALUE):
        name = value.text(1)
        if name in values:
            raise WireError(f"two graph inputs or outputs are named '{name}'")
        values[name] = _tensor_type(value.message(2, _TYPE), name)
    return values


def _tensor_type(type_: Message, name: str) -> TensorType:
    tensor = type_.message(1, _TENSOR_TYPE)
    shape = []
    for dimension in tensor.message(2, _SHAPE).messages(1, _DIMENSION):
        if dimension.has(2) or not dimension.has(1):
            raise WireError(f"'{name}' has a dimension that is not fixed")
        shape.append(dimension.integer(1))
    kind = tensor.integer(1)
    return TensorType(DTYPES.get(kind, f"type {kind}"), tuple(shape))


def _metadata(model: Message) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for entry in model.messages(14, _ENTRY):
        key = entry.text(1)
        if key in metadata:
            raise WireError(f"metadata '{key}' stands twice")
        metadata[key] = entry.text(2)
    return metadata
