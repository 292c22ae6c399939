"""Load a policy file and run it: one observation in, one command out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdmarl_core.contract import Discrete, KdmarlError, Manifest
from kdmarl_core.contract.files import read_bytes
from kdmarl_core.contract.manifest import METADATA_KEY
from kdmarl_core.runtime.cost import check_cost, first_line, open_session, quiet_options
from kdmarl_core.runtime.foreign import describe_foreign
from kdmarl_core.runtime.onnx_file import OnnxFile, TensorType, read_onnx

MAX_BYTES = 16 * 2**20
"""Largest accepted policy file [bytes]."""


class Policy:
    """A policy file, ready to run.

    Not for several threads at a time. Attributes: ``path``, ``manifest`` and ``sha256`` (of the file, hex).
    """

    def __init__(self, path: Path, data: bytes, manifest: Manifest) -> None:
        """Use :meth:`load`."""
        self.path = path
        self.manifest = manifest
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._session = open_session(data, quiet_options(), str(path))
        discrete = isinstance(manifest.action, Discrete)
        self._observation = np.zeros((1, manifest.observation_size), np.float32)
        self._action: np.ndarray = (
            np.zeros(1, np.int64) if discrete else np.zeros((1, manifest.action.size), np.float32)
        )
        self._states = [np.zeros(state.shape, np.float32) for state in manifest.recurrent]
        self._next_states = [np.zeros_like(state) for state in self._states]
        # ONNX Runtime reads and writes these arrays in place: half the time of session.run with a small network.
        self._binding = self._session.io_binding()
        names = [state.name for state in manifest.recurrent]
        for name, array in zip(["observation", *names], [self._observation, *self._states], strict=True):
            self._binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        action_name = "action" if discrete else "command"
        next_names = [f"{name}_next" for name in names]
        for name, array in zip([action_name, *next_names], [self._action, *self._next_states], strict=True):
            self._binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._warm_up()

    @classmethod
    def load(cls, path: Path | str, max_bytes: int = MAX_BYTES) -> Policy:
        """Read a file once, check it, and make it ready to run.

        Raises:
            KdmarlError: the file is missing, too large, damaged, or not a valid policy.
        """
        path = Path(path)
        data = _read_bytes(path, max_bytes)
        manifest, file = _check(data, str(path))
        check_cost(data, file, str(path))
        return cls(path, data, manifest)

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """The command for one observation; advances the recurrent state.

        Args:
            observation: (O,) as from :func:`kdmarl_core.contract.observe`.

        Returns:
            (A,) float32 command in the action space's units, a new array. May contain NaN if the weights or
            the observation do; see :class:`~kdmarl_core.runtime.SafetyFilter`.

        Raises:
            ValueError: the observation has another shape.
        """
        if observation.shape != self._observation.shape[1:]:
            raise ValueError(f"observation has shape {observation.shape}, expected {self._observation.shape[1:]}")
        self._observation[0] = observation
        self._session.run_with_iobinding(self._binding)
        for state, following in zip(self._states, self._next_states, strict=True):
            state[...] = following
        return self._action.reshape(-1).astype(np.float32)

    @property
    def state(self) -> list[np.ndarray]:
        """A copy of the recurrent state: save and restore it to use one loaded file for several robots."""
        return [state.copy() for state in self._states]

    @state.setter
    def state(self, values: Sequence[np.ndarray]) -> None:
        for state, value in zip(self._states, values, strict=True):
            state[...] = value

    def reset(self) -> None:
        """Reset the recurrent state."""
        for state in self._states:
            state.fill(0)

    def _warm_up(self) -> None:
        """Run once, so that the first real cycle is as fast as the others, and check that the weights are finite."""
        try:
            action = self(np.zeros(self.manifest.observation_size, np.float32))
        except Exception as error:  # ONNX Runtime has many error types of its own
            raise KdmarlError(f"{self.path}: cannot be run ({first_line(error)}); export the policy again") from None
        if not all(np.isfinite(array).all() for array in (action, *self._states)):
            raise KdmarlError(f"{self.path}: gives {action} for an all-zero observation; its weights are damaged")
        self.reset()


def read_manifest(path: Path | str, max_bytes: int = MAX_BYTES) -> Manifest:
    """The manifest of a policy file that has passed every check except running it.

    Raises:
        KdmarlError: as in :meth:`Policy.load`.
    """
    return _check(_read_bytes(Path(path), max_bytes), str(path))[0]


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    data = read_bytes(path, max_bytes, "a policy file (.onnx)")
    if not data:
        raise KdmarlError(f"{path}: is empty; export or copy the policy again")
    return data


def _check(data: bytes, source: str) -> tuple[Manifest, OnnxFile]:
    try:
        file = read_onnx(data, source)
    except KdmarlError:
        _refuse_foreign(data, source)
        raise
    if METADATA_KEY not in file.metadata:
        _refuse_foreign(data, source)
        raise KdmarlError(f"{source}: has no kdmarl manifest; make it with 'kdmarl export' or 'kdmarl pack'")
    manifest = Manifest.from_json(file.metadata[METADATA_KEY], f"{source}: manifest")
    _check_interface(file, manifest, source)
    return manifest, file


def _refuse_foreign(data: bytes, source: str) -> None:
    """Refuse another project's network with a description of what it is, not with the first broken rule."""
    if description := describe_foreign(data):
        raise KdmarlError(f"{source}: {description}") from None


def _check_interface(file: OnnxFile, manifest: Manifest, source: str) -> None:
    """Check that the graph's inputs and outputs are exactly those of the manifest."""
    inputs = {"observation": TensorType("float32", (1, manifest.observation_size))}
    if isinstance(manifest.action, Discrete):
        outputs = {"action": TensorType("int64", (1,))}
    else:
        outputs = {"command": TensorType("float32", (1, manifest.action.size))}
    for state in manifest.recurrent:
        if state.name in inputs or f"{state.name}_next" in outputs:
            raise KdmarlError(f"{source}: recurrent state '{state.name}' has a name that is taken; rename it")
        inputs[state.name] = outputs[f"{state.name}_next"] = TensorType("float32", tuple(state.shape))
    for what, expected, found in (("input", inputs, file.inputs), ("output", outputs, file.outputs)):
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise KdmarlError(
                    f"{source}: graph {what} '{name}' is {found.get(name, 'missing')}, the manifest says "
                    f"{expected.get(name, 'there is none')}; export the policy again"
                )
