"""The MPE tasks as written in a config file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from kdmarl_core.envs.particle import scenarios
from kdmarl_core.envs.particle.scenarios import Scenario, Sight
from kdmarl_core.envs.task import TaskConfig


class ParticleConfig(
    TaskConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="particle"
):
    """The task as written in a config file."""

    scenario: Literal["simple_spread", "simple_speaker_listener", "simple_reference", "simple_tag"]
    agents: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """of simple_spread, which has as many landmarks; None: 3. The others have as many as in mpe2"""
    local_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """weight of an agent's own reward against the team's; None: 0.5. In simple_speaker_listener and simple_tag
    the team's is all there is"""
    max_steps: Annotated[int, msgspec.Meta(ge=1)] = 25
    observations: dict[Literal["expert", "student"], Sight] = {}
    """view → what it sees of the world; all of it by default"""

    def __post_init__(self) -> None:
        if self.agents is not None and self.scenario != "simple_spread":
            count = self.build().agents
            raise ValueError(f"agents is {self.agents}, and {self.scenario} has {count}; remove the key")
        limited = any(sight.neighbors for sight in self.observations.values())
        if limited and self.scenario in ("simple_speaker_listener", "simple_reference"):
            raise ValueError(f"neighbors limits who is seen, and {self.scenario} has one other agent; remove it")
        if self.scenario in ("simple_speaker_listener", "simple_tag") and self.local_ratio is not None:
            raise ValueError(f"local_ratio is {self.local_ratio}, and {self.scenario} has none; remove the key")

    def sight(self, view: str) -> Sight:
        """What ``view`` sees of the world."""
        return self.observations.get(view, Sight())  # type: ignore[call-overload]

    def build(self) -> Scenario:
        """The scenario."""
        if self.scenario == "simple_spread":
            return scenarios.spread(self.agents or 3)
        others = {
            "simple_speaker_listener": scenarios.speaker_listener,
            "simple_reference": scenarios.reference,
            "simple_tag": scenarios.tag,
        }
        return others[self.scenario]()

    @property
    def name(self) -> str:
        """As in mpe2."""
        return self.scenario

    @property
    def measured_in(self) -> str:
        """Always mpe2 itself."""
        return f"{self.scenario} of mpe2"

    def types(self, folder: Path) -> Collection[str]:
        """Types of its agents."""
        return {kind.name for kind in self.build().kinds}
