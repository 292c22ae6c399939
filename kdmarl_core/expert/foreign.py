"""Experts that kdmarl did not train: an ONNX file, or any Python object given by a dotted name."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import nn

from kdmarl_core.contract import KdmarlError
from kdmarl_core.contract.files import read_bytes
from kdmarl_core.envs.base import EXPERT, BatchedEnv, Group
from kdmarl_core.envs.dotted import load_object
from kdmarl_core.errors import naming, reason, with_article
from kdmarl_core.expert.critics import CriticsConfig
from kdmarl_core.expert.fingerprint import Facts
from kdmarl_core.expert.foreign_models import ArrayFunction, Model, OneMissing, as_model
from kdmarl_core.expert.foreign_onnx import MAX_BYTES, OnnxModel
from kdmarl_core.expert.foreign_policy import Ask, Controller, EachAgent, ForeignExpert, WholeTeam
from kdmarl_core.expert.policies import TeamPolicy, observe
from kdmarl_core.expert.ppo import PPOConfig
from kdmarl_core.expert.train import ExpertConfig

GROUPS = "groups"
"""A class or function with a parameter of this name receives the team's groups in it."""


class ForeignConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to find an expert that kdmarl did not train; recognised by the key ``from``."""

    from_: str | dict[str, str] = msgspec.field(name="from")
    """an ONNX file or ``package.module:name``; or robot type → one of these for each type"""
    view: Literal["expert", "student"] = EXPERT  # type: ignore[assignment]
    """which observations it receives"""
    joint: bool = False
    """its input concatenates the observations of all agents of the team, and its output all their actions"""
    arguments: dict[str, Any] = {}
    """keyword arguments of the named class or function; a string that is the path of a file, relative to the experiment
    file, becomes that file's absolute path"""
    output: str | None = None
    """name of the ONNX output that is the action, where there are several"""
    spread: Annotated[float, msgspec.Meta(ge=0.01, lt=0.5)] = 0.05
    """exploration around a command without a distribution: standard deviation as a share of the command's range, or
    probability of all other actions together"""
    critics: CriticsConfig = CriticsConfig()
    """how the critics that ``distill.polish`` needs are fitted"""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("from is empty; give an .onnx file or package.module:name")
        for source in self.sources.values():
            if not (source.endswith(".onnx") or ":" in source):
                raise ValueError(
                    f"from is '{source}', neither an .onnx file nor package.module:name; give a function that loads it"
                )
        if self.joint and isinstance(self.from_, dict):
            raise ValueError("joint is true, and from names an expert for each type; name one for the team")
        files = all(source.endswith(".onnx") for source in self.sources.values())
        if files and self.arguments:
            raise ValueError("arguments are given, and an ONNX file is not called with any; remove them")
        if self.output is not None and not files:
            raise ValueError("output is given, which is for ONNX files; remove it")

    @property
    def sources(self) -> dict[str, str]:
        """Robot type → its expert; a single expert for all types is under the empty name."""
        return self.from_ if isinstance(self.from_, dict) else {"": self.from_}

    @property
    def views(self) -> tuple[str, ...]:
        """All views that are used."""
        return (self.view,)

    @property
    def ppo(self) -> PPOConfig:
        """Discounts of its critics."""
        return self.critics.ppo

    @property
    def envs(self) -> int:
        """How many environments its critics are fitted in at once."""
        return self.critics.envs

    @property
    def env_steps(self) -> int:
        """Environment steps for fitting its critics."""
        return self.critics.env_steps

    @property
    def named(self) -> str:
        """All its sources, in words."""
        return ", ".join(dict.fromkeys(self.sources.values()))

    def described(self, group: str) -> str:
        """A few words for manifests."""
        return f"from {self.sources.get(group, self.sources.get('', ''))}"

    @property
    def own_types(self) -> Collection[str]:
        """Robot types that the configuration names."""
        return self.from_ if isinstance(self.from_, dict) else ()

    def facts(self, folder: Path) -> Facts:
        """The expert's identity: hashes of files, and names, arguments and source hashes of Python objects.

        Raises:
            KdmarlError: a file or module is missing.
        """
        keys = msgspec.to_builtins(self)
        origins = {name: _origin(source, folder) for name, source in self.sources.items()}
        arguments = dict(self.arguments)
        for key, value in arguments.items():
            if isinstance(value, str) and _is_file(folder / value):
                arguments[key] = {"sha256": _file_hash(folder / value)}
        return {
            "from": origins if isinstance(self.from_, dict) else origins[""],
            "arguments": arguments,
            **{key: keys[key] for key in ("view", "joint", "output", "spread")},
        }

    def _resolved(self, folder: Path) -> dict[str, Any]:
        """The arguments with absolute paths of files."""
        return {
            key: str((folder / value).resolve()) if isinstance(value, str) and _is_file(folder / value) else value
            for key, value in self.arguments.items()
        }


def load_foreign(config: ForeignConfig, env: BatchedEnv, folder: Path) -> TeamPolicy:
    """Load the expert that ``config`` names, and try it once in ``env``.

    Args:
        config: where it is.
        env: of its task.
        folder: its paths are relative to this; modules in it can be imported, too.

    Raises:
        KdmarlError: it is missing, fails, or does not fit the team's observations or actions.
    """
    found = {name: _found(config, source, env.groups, folder) for name, source in config.sources.items()}
    return wrap(found if isinstance(config.from_, dict) else found[""], env, config)


def wrap(made: Any, env: BatchedEnv, config: ForeignConfig, where: str = "") -> TeamPolicy:
    """Wrap an object, or group → object, as a team policy, and try it once in ``env``.

    Args:
        made: a team policy, a ``torch.nn.Module``, a Stable-Baselines3 model, or a function: group → observations
            (B, n, O) in, group → commands (B, n, A) out; for a single type, (M, O) in and (M, A) out.
        env: of its task.
        config: its view and exploration.
        where: prefix of error messages; by default what ``config`` names.

    Raises:
        KdmarlError: it fails, or does not fit the team's observations or actions.
    """
    where = where or f"expert.from: {config.named}"
    expert = made
    if not isinstance(made, TeamPolicy):
        with naming(where):
            ask, macs = _asking(made, env.groups, config)
        critics = getattr(made, "critics", None)
        expert = ForeignExpert(env.groups, config.view, ask, where, config.spread, macs, critics)
    try:
        with torch.no_grad():
            expert(observe(env, expert.view))
    except KdmarlError:
        raise
    except Exception as error:
        raise KdmarlError(
            f"{where}: fails on the team's observations ({reason(error)}); give one made for them"
        ) from error
    return expert.eval()


def given(made: Any, env: BatchedEnv, like: ForeignConfig | ExpertConfig) -> TeamPolicy:
    """As :func:`wrap` for an object given in Python; its ``view`` is that of ``like``, the experiment's ``expert``.

    Raises:
        KdmarlError: as :func:`wrap`.
    """
    where = f"the given {type(made).__name__}"
    if not isinstance(like, ForeignConfig):
        like = ForeignConfig(from_="given:object", view=like.view)
    return wrap(made, env, like, where)


def _found(config: ForeignConfig, source: str, groups: tuple[Group, ...], folder: Path) -> Any:
    """The ONNX model, or the named object (the result of calling it, if it is a class or factory)."""
    where = "expert.from"
    if source.endswith(".onnx"):
        with naming(where):
            return OnnxModel(folder / source, config.output)
    return _made(load_object(source, where, folder), config._resolved(folder), groups, f"{where}: {source}")


def _made(found: Any, arguments: Mapping[str, Any], groups: tuple[Group, ...], where: str) -> Any:
    """Call a class or factory function; a function that lacks only the observations is itself the controller.

    Raises:
        KdmarlError: it cannot be called with ``arguments``, or fails.
    """
    if not (isinstance(found, type) or inspect.isroutine(found)):
        if arguments:
            raise KdmarlError(
                f"{where}: is {with_article(type(found).__name__)}, not callable; remove expert.arguments"
            )
        return found
    shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    try:
        signature = inspect.signature(found)
        keywords = dict(arguments)
        if GROUPS in signature.parameters and GROUPS not in keywords:
            keywords[GROUPS] = groups
        if inspect.isroutine(found) and not _binds(signature, keywords) and _binds(signature, keywords, None):
            lacking = OneMissing(found, **keywords)
            lacking.missing = next(iter(signature.parameters))
            return lacking
        return found(**keywords)
    except KdmarlError as error:
        raise KdmarlError(f"{where}: {error}") from error
    except Exception as error:
        raise KdmarlError(
            f"{where}: called with ({shown}) it fails ({reason(error)}); fix it, or expert.arguments"
        ) from error


def _binds(signature: inspect.Signature, keywords: Mapping[str, Any], *observations: None) -> bool:
    try:
        signature.bind(*observations, **keywords)
    except TypeError:
        return False
    return True


def _asking(made: Any, groups: tuple[Group, ...], config: ForeignConfig) -> tuple[Ask, dict[str, int | None]]:
    """How to query the given object, and the MACs of each type's decision."""
    if isinstance(made, Mapping) and not isinstance(made, nn.Module):
        for group in groups:
            if group.name not in made:
                raise KdmarlError(f"has no expert for '{group.name}'; give one for each type")
        models = {group.name: _model(made[group.name]) or ArrayFunction(made[group.name]) for group in groups}
    else:
        model = _model(made)
        if model is None:
            if config.joint:
                raise KdmarlError("is a function, which always sees the whole team; remove expert.joint")
            return Controller(made, groups), {group.name: None for group in groups}
        if config.joint:
            return WholeTeam(model, groups, config.view), {group.name: model.macs for group in groups}
        models = {group.name: model for group in groups}
    return EachAgent(models, groups, config.view), {name: model.macs for name, model in models.items()}


def _model(made: Any) -> Model | None:
    return made if isinstance(made, OnnxModel) else as_model(made)


def _origin(source: str, folder: Path) -> dict[str, str]:
    """Identity of a source, independent of its location."""
    if source.endswith(".onnx"):
        with naming("expert.from"):
            return {"sha256": _file_hash(folder / source)}
    load_object(source, "expert.from", folder)
    path = getattr(sys.modules.get(source.partition(":")[0]), "__file__", None)
    return {"name": source, "source_sha256": _file_hash(Path(path)) if path else ""}


def _file_hash(path: Path) -> str:
    return hashlib.sha256(read_bytes(path, MAX_BYTES, "a file")).hexdigest()


def _is_file(path: Any) -> bool:
    try:
        return isinstance(path, str | Path) and Path(path).is_file()
    except (OSError, ValueError):  # it cannot be a path
        return False
