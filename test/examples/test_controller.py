"""examples/controller: a hand-written controller is an expert, from the experiment file alone."""

import numpy as np

from example_experts import chain, copy_of, decided


def test_a_controller_is_the_expert(tmp_path):
    path = copy_of("controller", tmp_path)
    _, actions = decided(path)
    assert len(np.unique(actions)) > 1
    expert, student, policy = chain(path)
    assert expert["macs"] is None
    assert student["return"]["mean"] < expert["return"]["mean"]  # 2 rounds are too few
    assert policy.manifest.provenance.expert == "from assign:Assign"
