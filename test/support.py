"""Hand-made policy files for tests: valid by default, with edits that break them as a test needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from kdmarl_core.contract import ActionSpace, Discrete, Manifest, RobotType, Term, load_robot_types
from kdmarl_core.contract.manifest import METADATA_KEY, Provenance, RecurrentState
from kdmarl_core.contract.team_terms import Targets
from kdmarl_core.contract.terms import Goal, Lidar, PreviousAction, RangeSensors, Velocity

REPOSITORY = Path(__file__).resolve().parents[1]
ROBOT_TYPES = REPOSITORY / "config" / "robots.yaml"
"""The robot types that every test robot comes from."""

SMOOTHING = "smoothing"
"""Name of the state of a policy written with ``recurrent=True``."""


def write_policy(
    path: Path | str,
    robot_type: str = "scout",
    robot: RobotType | None = None,
    observation: list[Term] | None = None,
    action: ActionSpace | None = None,
    control_period: float = 0.1,
    recurrent: bool = False,
    edit_manifest: Callable[[dict[str, Any]], None] | None = None,
    edit: Callable[[onnx.ModelProto], None] | None = None,
) -> Path:
    """Write a policy that drives straight to its goal, or to the nearest target, and return its path.

    It sees no obstacle.

    Args:
        path: file to write; its directory is made.
        robot_type: name in ``config/robots.yaml``, or of ``robot``.
        robot: body, limits and sensors; from ``config/robots.yaml`` when None.
        observation: terms; when None, the range sensors of the type, goal, velocity and previous action.
        action: action space; when None, that of the robot.
        control_period: [s].
        recurrent: smooth the command with a recurrent state named ``SMOOTHING``.
        edit_manifest: changes the manifest's plain data in place before it is written.
        edit: changes the ONNX model in place before it is written.
    """
    robot = robot or load_robot_types(ROBOT_TYPES)[robot_type]
    manifest = Manifest(
        name=f"goal_seeker_{robot_type}",
        task="navigation",
        robot_type=robot_type,
        observation=observation or default_observation(robot),
        action=action or robot.action,
        control_period=control_period,
        goal_tolerance=0.3,
        recurrent=[RecurrentState(name=SMOOTHING, shape=[1, (action or robot.action).size])] if recurrent else [],
        provenance=Provenance(
            kdmarl_version="0.1.0",
            commit="unknown",
            config_sha256=hashlib.sha256(b"hand-made").hexdigest(),
            seed=0,
            expert="none",
            created="2026-01-01",
        ),
    )
    model = _model(manifest)
    data = msgspec.json.decode(manifest.to_json())
    if edit_manifest:
        edit_manifest(data)
    helper.set_model_props(model, {METADATA_KEY: msgspec.json.encode(data).decode()})
    if edit:
        edit(model)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def default_observation(robot: RobotType) -> list[Term]:
    """The navigation task's terms for a robot's sensors."""
    terms: list[Term] = []
    if robot.sensors.lidar:
        terms.append(Lidar(sectors=36, range=robot.sensors.lidar.range))
    if robot.sensors.range_sensors:
        ring = robot.sensors.range_sensors
        terms.append(RangeSensors(count=len(ring.bearings), range=ring.range))
    return [*terms, Goal(range=5.0), Velocity(lateral=robot.action.sideways), PreviousAction(robot.action.size)]


def _model(manifest: Manifest) -> onnx.ModelProto:
    size = manifest.observation_size
    weights = _seeking_weights(manifest)
    nodes, initializers = [], [numpy_helper.from_array(weights, "weights")]
    inputs = [helper.make_tensor_value_info("observation", onnx.TensorProto.FLOAT, [1, size])]
    nodes.append(helper.make_node("MatMul", ["observation", "weights"], ["raw"]))
    if isinstance(manifest.action, Discrete):
        nodes.append(helper.make_node("ArgMax", ["raw"], ["action"], axis=1, keepdims=0))
        outputs = [helper.make_tensor_value_info("action", onnx.TensorProto.INT64, [1])]
    else:
        raw = "raw"
        outputs = [helper.make_tensor_value_info("command", onnx.TensorProto.FLOAT, [1, manifest.action.size])]
        for state in manifest.recurrent:
            raw = f"{state.name}_next"
            inputs.append(helper.make_tensor_value_info(state.name, onnx.TensorProto.FLOAT, state.shape))
            outputs.append(helper.make_tensor_value_info(raw, onnx.TensorProto.FLOAT, state.shape))
            nodes.append(helper.make_node("Add", ["raw", state.name], ["sum"]))
            initializers.append(numpy_helper.from_array(np.array([[0.5]], np.float32), "half"))
            nodes.append(helper.make_node("Mul", ["sum", "half"], [raw]))
        nodes += [
            helper.make_node("Tanh", [raw], ["unit"]),
            helper.make_node("Mul", ["unit", "high"], ["scaled"]),
            helper.make_node("Max", ["scaled", "low"], ["command"]),
        ]
        for name in ("low", "high"):
            initializers.append(numpy_helper.from_array(getattr(manifest.action, name)[None], name))
    graph = helper.make_graph(nodes, "goal_seeker", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _seeking_weights(manifest: Manifest) -> np.ndarray:
    """(observation, actions) weights: forward speed from cos, yaw rate from sin of the goal's bearing.

    Robots that can move to their left do so by the sine, too. With targets all are from x and y of the nearest.
    """
    action = manifest.action
    values = action.n if isinstance(action, Discrete) else max(2, action.size)
    turns = 1 if isinstance(action, Discrete) else values - 1
    weights = np.zeros((manifest.observation_size, values), np.float32)
    start = 0
    for term in manifest.observation:
        if isinstance(term, Goal | Targets):
            x, y = start + isinstance(term, Goal), start + isinstance(term, Goal) + 1
            speed = 0.8 if isinstance(term, Goal) else 1.0
            weights[x, 0] = speed
            if getattr(action, "sideways", False):
                weights[y, 1] = speed
            weights[y, turns] = 1.5
        start += term.size
    return weights


def write_linear(path, weights, rows="batch", outputs=("command",), inputs=("observation",)):
    """Write an ONNX file with one linear layer (O, A) that is not a policy file, and return its path."""
    size, wide = weights.shape
    dims = [size] if rows is None else [rows, size]
    out = [wide] if rows is None else [rows, wide]
    nodes = [helper.make_node("MatMul", [inputs[0], "weights"], [outputs[0]])]
    nodes += [helper.make_node("Identity", [outputs[0]], [name]) for name in outputs[1:]]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "brought",
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims) for name in inputs],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, out) for name in outputs],
            [numpy_helper.from_array(weights.astype(np.float32), "weights")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path.write_bytes(model.SerializeToString())
    return path
