"""Bound the computation of a policy file before running it.

A few kilobytes of graph can ask for terabytes: two columns multiply to a square, a value joined to itself
doubles. ONNX Runtime can infer the size of every value without computing any. Sizes that it cannot infer, because
they depend on computed values, are refused.
"""

from __future__ import annotations

import math

import onnxruntime as ort

from kdmarl_core.errors import KdmarlError
from kdmarl_core.runtime.onnx_file import Node, OnnxFile
from kdmarl_core.runtime.protobuf import field

MAX_WORK = 2**24
"""Multiply-adds and elements read or written in one run, all nodes together. The largest policy of 32-bit weights that
fits into ``MAX_BYTES`` stays below it."""

_PRODUCTS = frozenset({"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"})
"""Operators whose work is more than a few operations per element."""

_GRAPH, _NODE, _OUTPUT = 7, 1, 12
_RANK = "/rank"


def check_cost(data: bytes, file: OnnxFile, source: str) -> None:
    """Check that one run of a file that :func:`read_onnx` has accepted takes at most ``MAX_WORK``.

    That bounds memory too: a value has at most eight bytes per element.

    Raises:
        KdmarlError: it takes more, or that cannot be determined.
    """
    shapes = dict(file.constants) | {name: value.shape for name, value in file.inputs.items()}
    inner = sorted({name for node in file.nodes for name in node.outputs})
    shapes |= _infer(data, inner, [name for name in inner if name not in file.outputs], source)
    work = sum(math.prod(shape) for shape in shapes.values())
    for node in file.nodes:
        work += _work(node, shapes)
        if work > MAX_WORK:
            raise KdmarlError(
                f"{source}: one run takes more than {MAX_WORK} operations, too many for a policy; give another file"
            )


def _work(node: Node, shapes: dict[str, tuple[int, ...]]) -> int:
    """Upper bound of the operations of one node."""
    given, made = ([shapes.get(name, ()) for name in names] for names in (node.inputs, node.outputs))
    touched = sum(math.prod(shape) for shape in (*given, *made))
    if node.operator not in _PRODUCTS or not given:
        return touched
    # Each element of a product is a sum along one dimension of its first factor.
    return touched + sum(math.prod(shape) for shape in made) * max(given[0], default=1)


def _infer(data: bytes, names: list[str], hidden: list[str], source: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the values ``names``, of which ``hidden`` are not outputs of the graph, without computing any."""
    # Protobuf merges two graphs in one file: the added one makes every value an output, and adds its rank, since
    # ONNX Runtime shows unknown ranks as scalars.
    ranks = [field(_NODE, field(1, name) + field(2, name + _RANK) + field(4, "Shape")) for name in names]
    outputs = [field(_OUTPUT, field(1, name)) for name in (*hidden, *(name + _RANK for name in names))]
    options = quiet_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # otherwise constants are computed
    session = open_session(data + field(_GRAPH, b"".join(ranks + outputs)), options, source)
    found = {value.name: value.shape for value in session.get_outputs()}
    if text := [value.name for value in session.get_outputs() if value.type == "tensor(string)"]:
        raise KdmarlError(f"{source}: '{text[0]}' is text, but only numbers are allowed; give another file")
    for name in names:
        if found[name + _RANK] != [len(found[name])] or not all(isinstance(size, int) for size in found[name]):
            raise KdmarlError(f"{source}: the size of '{name}' depends on computed values; export the policy again")
    return {name: tuple(found[name]) for name in names}


def quiet_options() -> ort.SessionOptions:
    """Options of a session with one thread, without a memory pool, and without output on stderr."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False  # a few kilobytes need no pool
    options.log_severity_level = 4  # errors are raised, and reported in one sentence
    return options


def open_session(data: bytes, options: ort.SessionOptions, source: str) -> ort.InferenceSession:
    """An ONNX Runtime session.

    Raises:
        KdmarlError: ONNX Runtime refuses the file.
    """
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # ONNX Runtime has many error types of its own
        raise KdmarlError(f"{source}: cannot be run ({first_line(error)}); export the policy again") from None


def first_line(error: Exception) -> str:
    """The first line of an error message, shortened."""
    return str(error).strip().partition("\n")[0][:300]
