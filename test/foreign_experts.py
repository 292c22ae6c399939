"""Experts as other libraries make them, and an experiment file's way to them."""

from torch import nn

from kdmarl_core.contract.files import convert
from kdmarl_core.expert.foreign import ForeignConfig, load_foreign

CONFIG = ForeignConfig(from_="a:b")


def keys(**given):
    return convert(given, ForeignConfig, "f.yaml", at="$.expert")


def load(folder, env, **given):
    return load_foreign(keys(**given), env, folder)


class Stable(nn.Module):
    """As an on-policy model of Stable-Baselines3 looks from outside."""

    def __init__(self, distribution, size):
        super().__init__()
        self.kind = distribution
        self.observation_space = type("Box", (), {"shape": (size,)})
        self.mlp_extractor = nn.Module()
        self.mlp_extractor.policy_net, self.action_net = nn.Linear(size, 8), nn.Linear(8, 2)

    def get_distribution(self, seen):
        return type("Wrapped", (), {"distribution": self.kind(seen)})
