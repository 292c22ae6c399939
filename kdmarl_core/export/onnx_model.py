"""Operations on the ONNX model of a policy file, without torch: manifest, size, saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from kdmarl_core.contract import Manifest
from kdmarl_core.contract.checksums import note_sum
from kdmarl_core.contract.manifest import METADATA_KEY
from kdmarl_core.contract.writing import replacing


def set_manifest(model: onnx.ModelProto, manifest: Manifest) -> None:
    """Put the manifest into the model's metadata, replacing all of it."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, manifest.to_json().decode()


def record_results(path: Path, manifest: Manifest) -> None:
    """Replace the manifest of the policy file at ``path``; the graph is not changed."""
    model = onnx.load(str(path), load_external_data=False)
    set_manifest(model, manifest)
    save_model(model, path)


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model atomically, and update the list of checksums in its folder, if any.

    Raises:
        KdmarlError: the file cannot be written.
    """
    with replacing(path) as scratch:
        scratch.write_bytes(model.SerializeToString(deterministic=True))
    note_sum(path)


def macs(path: Path) -> int:
    """Multiply-accumulates of one inference of a policy file (its matrix products with constant weights)."""
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":  # of an int8 weight
            weights[node.output[0]] = weights.get(node.input[0], 0)
    products = (node for node in graph.node if node.op_type in ("Gemm", "MatMul"))
    return sum(weights.get(node.input[1], 0) for node in products)


def weight_bytes(path: Path) -> int:
    """Size of all weights in a policy file [bytes]."""
    model = onnx.load(str(path), load_external_data=False)
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)


def parameters(path: Path) -> int:
    """Number of a policy file's constants; scales and zero points of int8 constants are not counted."""
    graph = onnx.load(str(path), load_external_data=False).graph
    quantising = (node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear"))
    scaling = {name for node in quantising for name in node.input[1:]}
    return sum(int(np.prod(tensor.dims)) for tensor in graph.initializer if tensor.name not in scaling)


def strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's documentation strings and per-node metadata, which contain paths of this machine."""
    model.producer_name, model.producer_version, model.doc_string = "kdmarl", "", ""
    del model.functions[:]
    for item in (model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        if item.DESCRIPTOR.fields_by_name.get("metadata_props"):
            del item.metadata_props[:]
    del model.graph.value_info[:]
