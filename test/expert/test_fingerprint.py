"""Which facts differ is reported key by key."""

import pytest

from kdmarl_core.expert.fingerprint import differences, encode

FACTS = {
    "expert": {"ppo": {"gamma": 0.99}, "hidden": (64, 64), "actors": {}},
    "task": {"terms": [{"term": "lidar", "beams": 36}, {"term": "goal"}], "kind": "navigation"},
    "seed": 1,
}


def test_what_came_later_leaves_earlier_runs_as_they_were():
    before = {"actor": {}, "actors": {"scout": {}}}
    later = {"actor": {"memory": 0}, "actors": {"scout": {"memory": 0}}, "critic_view": None}
    assert encode({"expert": later}) == encode({"expert": before})


def test_a_key_of_the_same_name_elsewhere_counts():
    assert encode({**FACTS, "task": {**FACTS["task"], "memory": 0}}) != encode(FACTS)


def changed(**parts):
    return {**FACTS, **parts}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (FACTS, ""),
        (dict(reversed(FACTS.items())), ""),
        (changed(seed=2), "seed = 1 (now 2)"),
        (changed(expert={**FACTS["expert"], "actor": {"memory": 0}}), ""),  # came later
        (changed(expert={**FACTS["expert"], "actor": {"memory": 8}}), "expert.actor.memory = nothing (now 8)"),
        (changed(expert={"ppo": {"gamma": 0.9}, "hidden": (64, 64)}), "expert.ppo.gamma = 0.99 (now 0.9)"),
        (changed(expert={"ppo": {"gamma": 0.99}, "hidden": [32]}), "expert.hidden = [64, 64] (now [32])"),
        (changed(expert={**FACTS["expert"], "view": "student"}), 'expert.view = nothing (now "student")'),
        (
            changed(task={"terms": [{"term": "lidar", "beams": 24}, {"term": "goal"}], "kind": "navigation"}),
            "task.terms[0].beams = 36 (now 24)",
        ),
        (
            changed(task={"terms": [{"term": "lidar", "beams": 36}], "kind": "navigation"}),
            'task.terms[1].term = "goal" (now nothing)',
        ),
        (
            {"seed": 1},
            "expert.hidden = [64, 64] (now nothing), expert.ppo.gamma = 0.99 (now nothing), "
            'task.kind = "navigation" (now nothing), 3 more',
        ),
    ],
)
def test_first_differences_are_named_with_both_values(now, expected):
    assert differences(encode(FACTS), now) == expected


@pytest.mark.parametrize("kept", ["", "config seed=3", '{"seed": 1'])
def test_what_is_no_fingerprint(kept):
    with pytest.raises(ValueError, match="Expecting"):
        differences(kept, FACTS)
