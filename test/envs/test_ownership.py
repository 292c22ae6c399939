"""An environment that writes into its arrays again is named before anything is learnt from it."""

import numpy as np
import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.envs.ownership import Kept
from kdmarl_core.expert.networks import NetworkConfig, make_critics
from kdmarl_core.expert.policies import make_policy
from kdmarl_core.expert.ppo import Rollout
from toy import Echo


def test_new_arrays_are_welcome():
    kept = Kept()
    for value in range(100):
        kept.keep("observe", {"a": np.full((2, 3), value), "b": np.zeros((2, 3))})


def test_the_same_values_may_come_again():
    kept, one = Kept(), np.zeros((2, 3))
    for _ in range(3):
        kept.keep("observe", {"a": one, "b": one})


@pytest.mark.parametrize("buffers", [1, 2, 5])
def test_a_buffer_that_is_filled_again_is_refused(buffers):
    kept, given = Kept(), [np.zeros((2, 3)) for _ in range(buffers)]
    for buffer in given:
        kept.keep("observe('expert')", {"a": buffer})
    given[0][1, 1] = 1
    with pytest.raises(KdmarlError, match=r"observe\('expert'\) gives the array of 'a' a second time with other"):
        kept.keep("observe('expert')", {"a": given[0]})


class Reused(Echo):
    """Gives one and the same array in every step."""

    def observe(self, view):
        fresh = super().observe(view)
        if not hasattr(self, "buffers"):
            self.buffers = {name: seen.copy() for name, seen in fresh.items()}
        for name, seen in fresh.items():
            self.buffers[name][:] = seen
        return self.buffers


@pytest.mark.parametrize("make", [Echo, Reused])
def test_a_rollout_refuses_such_an_environment(make):
    env = make(4)
    policy = make_policy("decentralized", env.groups, NetworkConfig(), "expert", {})
    critics = make_critics(env, NetworkConfig(), "expert")
    if make is Echo:
        Rollout(env, "expert").collect(policy, critics, 8)
        return
    with pytest.raises(KdmarlError, match=r"observe\('expert'\) gives the array of 'wheeled' a second time"):
        Rollout(env, "expert").collect(policy, critics, 8)
