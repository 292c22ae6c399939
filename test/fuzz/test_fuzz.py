"""A short run of every fuzz target; ``make fuzz`` makes the long one."""

import pytest

from fuzz.run import CASES, SHORT, run


@pytest.mark.parametrize("target", CASES)
def test_nothing_but_refusals_and_safe_commands(target):
    result = run(target, CASES[target] // SHORT, seed=1)
    assert result["refused"] > result["cases"] / 10
    assert result["accepted"] > 0
