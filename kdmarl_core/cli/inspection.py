"""What ``kdmarl inspect`` shows of a policy file; needs neither torch nor the training extra."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kdmarl_core.contract import Box, Kinematics, Manifest
from kdmarl_core.contract.figures import RECORDED
from kdmarl_core.contract.manifest import Interval, Packed, Provenance, Results
from kdmarl_core.errors import printable
from kdmarl_core.runtime import Policy


def inspect(path: Path, as_json: bool) -> None:
    """Print the manifest of the policy file at ``path``, for people or as JSON.

    Raises:
        KdmarlError: the file is not a valid policy.
    """
    policy = Policy.load(path)
    if as_json:
        print(msgspec.json.format(policy.manifest.to_json(), indent=2).decode())
        return
    table = Table(title=f"{path}  ({path.stat().st_size} bytes)", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in _rows(policy.manifest, policy.sha256):
        table.add_row(name, Text(printable(value)))  # without interpreting markup in the file
    Console().print(table)


def _rows(manifest: Manifest, sha256: str) -> list[tuple[str, str]]:
    rows = [
        ("policy", f"{manifest.name} (task {manifest.task}, schema {manifest.schema_version})"),
        ("robot type", manifest.robot_type),
        ("sha256", sha256),
        ("observation", f"{manifest.observation_size} values: {terms_words(manifest)}"),
        ("action", action_words(manifest)),
        ("control period", f"{manifest.control_period:g} s"),
    ]
    if manifest.goal_tolerance:
        rows.append(("goal tolerance", f"{manifest.goal_tolerance:g} m"))
    if manifest.recurrent:
        rows.append(("recurrent state", ", ".join(f"{state.name} {state.shape}" for state in manifest.recurrent)))
    if manifest.quantization != "none":
        rows.append(("arithmetic", f"{manifest.quantization} weights and activations"))
    if manifest.domain:
        domain = manifest.domain
        rows.append(
            (
                "trained for",
                f"radius {_span(domain.radius)} m, teams of {domain.team_size[0]} to {domain.team_size[1]}, "
                f"arenas of {_span(domain.arena)} m, sensor noise {_span(domain.sensor_noise)} m, "
                f"delay {_span(domain.action_delay)} s, other robots up to {domain.other_speed:.2g} m/s",
            )
        )
    rows += _origin(manifest.provenance)
    return rows + (_results(manifest.results) if manifest.results else [("results", "not measured yet")])


def _origin(origin: Provenance) -> list[tuple[str, str]]:
    if isinstance(origin.packed, Packed):
        files = ", ".join(f"{name} (sha256 {digest[:12]})" for name, digest in origin.packed.files.items())
        return [
            ("packed by", f"kdmarl {origin.kdmarl_version}, {origin.created}"),
            ("packed from", f"{files}, written by {origin.packed.producer or 'an unknown program'}"),
            ("described by", f"a file of sha256 {origin.config_sha256[:12]}"),
        ]
    return [
        ("made by", f"kdmarl {origin.kdmarl_version}, commit {origin.commit[:12]}, {origin.created}"),
        ("made from", f"{origin.expert}, seed {origin.seed}, config {origin.config_sha256[:12]}"),
    ]


def _results(results: Results) -> list[tuple[str, str]]:
    return [
        ("measured by", f"{results.command} ({results.episodes} episodes, seed {results.evaluation_seed})"),
        *(
            (figure.title, f"{_estimate(value)}{figure.per and f' per {figure.per}'}; expert {expert:.3f}")
            for figure in RECORDED
            if (value := getattr(results, figure.name)) is not None
            and (expert := getattr(results, f"expert_{figure.name}")) is not None
        ),
        (
            "return",
            f"{_estimate(results.return_)}; expert {results.expert_return:.2f}, random {results.random_return:.2f}",
        ),
        ("retention", _estimate(results.retention) if results.retention else "none: the expert was as good as random"),
        ("MACs", f"{results.macs}{_fewer(results)}"),
        ("size", f"{results.parameters} parameters, {results.bytes} bytes of weights"),
        ("latency", f"{results.latency * 1e6:.0f} us on {results.cpu}"),
    ]


def _fewer(results: Results) -> str:
    if results.expert_macs is None:
        return ""
    return f", {results.expert_macs / max(results.macs, 1):.1f}x fewer than the expert's"


def terms_words(manifest: Manifest) -> str:
    """The terms and their sizes."""
    return ", ".join(f"{type(term).__struct_config__.tag} {term.size}" for term in manifest.observation)


def action_words(manifest: Manifest) -> str:
    """The action space and its limits."""
    action = manifest.action
    if isinstance(action, Kinematics):
        return f"{action.kind}, {action.words()}"
    if isinstance(action, Box):
        return f"box, {', '.join(_span(pair) for pair in zip(action.lowest, action.highest, strict=True))}"
    return f"discrete, {action.n} actions"


def _span(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g}" if pair[0] == pair[1] else f"{pair[0]:g} to {pair[1]:g}"


def _estimate(value: Interval) -> str:
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"
