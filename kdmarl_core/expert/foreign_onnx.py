"""An ONNX file of any origin as a model of :mod:`kdmarl_core.expert.foreign_models`; for training machines only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.files import read_bytes
from kdmarl_core.expert.foreign_models import Answer
from kdmarl_core.runtime.cost import first_line, open_session, quiet_options

MAX_BYTES = 2**30
"""Largest file that is read [bytes]."""
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}
UNCOUNTED = frozenset(
    {"Attention", "Conv", "ConvInteger", "ConvTranspose", "Einsum", "GRU", "GroupQueryAttention", "If", "LSTM", "Loop"}
    | {"MultiHeadAttention", "RNN", "Scan"}
)
"""Operators whose multiply-accumulates cannot be derived from their weights alone."""
PASSING = frozenset({"Cast", "DequantizeLinear", "Identity", "Transpose"})
"""Operators with the same number of output values as input values."""


class OnnxModel:
    """One ONNX graph: observation vectors in, commands or action scores out.

    A graph for one observation at a time is run with a batch if that gives the same results.

    Args:
        path: the file.
        output: name of the output to use; None: the only one.

    Raises:
        KdmarlError: the file is missing or cannot be run, or has other inputs or outputs.
    """

    def __init__(self, path: Path, output: str | None = None) -> None:
        self.path = path
        data = read_bytes(path, MAX_BYTES, "an ONNX file")
        self._session = open_session(data, quiet_options(), str(path))
        taken = self._session.get_inputs()
        if len(taken) != 1:
            raise KdmarlError(
                f"{path}: takes {len(taken)} inputs ({', '.join(each.name for each in taken)}), but an expert takes "
                "only its observation, without memory; export it with one input"
            )
        self._name, self._shape, kind = taken[0].name, taken[0].shape, taken[0].type
        if kind not in TYPES or len(self._shape) not in (1, 2):
            raise KdmarlError(
                f"{path}: takes '{self._name}', {kind} {self._shape}; give a graph that takes observations as float32 "
                "[batch, values]"
            )
        self._dtype = TYPES[kind]
        self.inputs = self._shape[-1] if isinstance(self._shape[-1], int) else None
        self._output = self._chosen(output)
        self.macs = _macs(data)
        self._many = len(self._shape) == 2 and not isinstance(self._shape[0], int)
        if not self._many and self.inputs:
            self._try_many(data, self.inputs)

    def _chosen(self, output: str | None) -> str:
        names = [each.name for each in self._session.get_outputs()]
        if output is None and len(names) > 1:
            raise KdmarlError(f"{self.path}: has outputs {', '.join(names)}; choose the action with expert.output")
        if output is not None and output not in names:
            raise KdmarlError(f"{self.path}: has no output '{output}' (expert.output); give one of {', '.join(names)}")
        return output or names[0]

    def _try_many(self, data: bytes, inputs: int) -> None:
        """Make the batch dimension of the graph dynamic, unless that changes its outputs."""
        if self._shape[0] != 1 and len(self._shape) == 2:
            raise KdmarlError(
                f"{self.path}: has a batch of {self._shape[0]}; export it with a batch of 1 or of any size"
            )
        if len(self._shape) == 1:
            return
        rows = np.random.default_rng(0).normal(size=(3, inputs)).astype(self._dtype)
        expected = self._run(rows)
        model = onnx.load_from_string(data)
        del model.graph.value_info[:]
        for value in (*model.graph.input, *model.graph.output):
            if value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_param = "batch"
        try:
            freed = open_session(model.SerializeToString(), quiet_options(), str(self.path))
            found = freed.run([self._output], {self._name: rows})[0]
        except Exception:  # it only works for one observation at a time, and is run that way
            return
        if np.shape(found)[0] == 3 and np.allclose(np.reshape(found, (3, -1)), expected, atol=1e-5):
            self._session, self._many = freed, True

    def __call__(self, observation: Tensor) -> Answer:
        """(M, I) → answers.

        Raises:
            KdmarlError: ONNX Runtime fails.
        """
        return Answer(torch.from_numpy(self._run(observation.numpy().astype(self._dtype))))

    def _run(self, rows: np.ndarray) -> np.ndarray:
        """(M, I) → (M, W)."""
        try:
            if self._many:
                found = self._session.run([self._output], {self._name: rows})[0]
            else:
                each = [row.reshape(1, -1) if len(self._shape) == 2 else row for row in rows]
                found = np.concatenate([self._session.run([self._output], {self._name: row})[0] for row in each])
        except Exception as error:  # ONNX Runtime has many error types of its own
            raise KdmarlError(f"{self.path}: fails ({first_line(error)}); export it again") from None
        if np.size(found) % len(rows):
            raise KdmarlError(f"{self.path}: gives {np.shape(found)} for {len(rows)} observations; export it again")
        return np.reshape(found, (len(rows), -1))


def _macs(data: bytes) -> int | None:
    """Multiply-accumulates of one pass, from matrix products with constants; None if it has other costly operators."""
    graph = onnx.load_from_string(data).graph
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in UNCOUNTED:
            return None
        if node.op_type == "Constant":
            value = next((each.t for each in node.attribute if each.name == "value"), None)
            sizes[node.output[0]] = int(np.prod(value.dims)) if value else 1
        if node.op_type in PASSING and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
    products = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    return sum(sizes.get(node.input[1], 0) for node in products)
