"""What holds for the agents of every environment."""

from kdmarl_core.envs.base import EXPERT
from toy import Doors


def test_a_group_says_where_its_terms_lie():
    group = Doors(1).groups[0]
    places = group.places(EXPERT)
    assert [term for term, _ in places] == group.observation[EXPERT]
    assert [place for _, place in places] == [slice(0, 2), slice(2, 6), slice(6, 7)]
