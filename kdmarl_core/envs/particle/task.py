"""The MPE tasks for experiments: trained batched, measured in mpe2 itself."""

from __future__ import annotations

from pathlib import Path

from kdmarl_core.contract import Swarm
from kdmarl_core.envs.base import BatchedEnv
from kdmarl_core.envs.particle.config import ParticleConfig
from kdmarl_core.envs.particle.particle import Particle


class ParticleTask(ParticleConfig, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="particle"):
    """See :class:`ParticleConfig`."""

    def env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> BatchedEnv:
        """See :class:`Particle`."""
        self.refuse_swarm(swarm)
        return Particle(self, num_envs)

    def evaluation_env(self, folder: Path, num_envs: int, swarm: Swarm | None = None) -> BatchedEnv:
        """The same task in mpe2."""
        self.refuse_swarm(swarm)
        from kdmarl_core.envs.particle.mpe2_particle import (
            Mpe2Particle,  # only measuring needs mpe2, and pygame with it
        )

        return Mpe2Particle(self, num_envs)
