"""Write a quantised student as a policy file whose linear layers onnxruntime computes in integers."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from kdmarl_core.contract import Manifest
from kdmarl_core.distill.quantization import Int8Linear, in_float, layers
from kdmarl_core.expert.networks import Actor
from kdmarl_core.export.onnx_export import write_policy
from kdmarl_core.export.onnx_model import save_model, set_manifest, strip

WEIGHT_ZERO = 128
"""Weights are stored unsigned: with signed ones, sums of older x86 processors saturate (onnxruntime's manual,
"Quantize ONNX models", on U8S8 and U8U8)."""


class _Once(CalibrationDataReader):  # type: ignore[misc]
    """One observation: all scales are given, but the quantiser runs the graph nevertheless."""

    def __init__(self, size: int) -> None:
        self._left = [{"observation": np.zeros((1, size), np.float32)}]

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next observation, or None after the last."""
        return self._left.pop() if self._left else None


def write_int8_policy(actor: Actor, manifest: Manifest, path: Path) -> None:
    """Export a student whose layers are :class:`Int8Linear`, with their scales, atomically.

    Raises:
        KdmarlError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        write_policy(in_float(actor), manifest, source)
        products = [node for node in onnx.load(str(source)).graph.node if node.op_type == "Gemm"]
        overrides: dict[str, list[dict[str, Any]]] = {}
        for node, layer in zip(products, layers(actor), strict=True):
            overrides |= _scales(layer, node.input[0], node.input[1])
        with _quiet():
            quantize_static(
                source,
                target,
                _Once(manifest.observation_size),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Gemm"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QUInt8,
                # A layer's sums go to its activation unquantised, and only then into 8 bits for the next layer.
                extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"], "TensorQuantOverrides": overrides},
            )
        model = onnx.load(str(target))
    strip(model)
    set_manifest(model, manifest)
    onnx.checker.check_model(model, full_check=True)
    save_model(model, path)


def _scales(layer: Int8Linear, inputs: str, weight: str) -> dict[str, list[dict[str, Any]]]:
    """The layer's scales by the names of its tensors, in the quantiser's format."""
    step, zero, weight_steps = layer.scales()
    channels = [{"axis": 0, "scale": each, "zero_point": np.array(WEIGHT_ZERO, np.uint8)} for each in weight_steps]
    return {
        inputs: [{"scale": np.array(step, np.float32), "zero_point": np.array(zero, np.uint8)}],
        weight: channels,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser recommends a preprocessing that changes nothing in these graphs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
