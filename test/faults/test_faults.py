"""Every fault of the table, once in each process model; ``make faults`` measures them in earnest."""

import pytest

from faults.cases import CASES
from faults.harness import MODELS
from faults.retries import Retries
from faults.trials import kind_of, make_scene, run_trial
from wall_clock import missing

SLACK = 0.05
"""for the scheduling of two busy processes [s]"""
RETRIES = Retries(3)
"""A machine that is busy with something else may fail some trials, but not many, and none twice."""


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def scenes(model, tmp_path_factory):
    """Driving robots that take cases, started when they are first asked for."""
    made = {}

    def scene(case):
        kind = kind_of(case)
        if kind not in made:
            made[kind] = make_scene(tmp_path_factory.mktemp("scene"), model, kind, f"/r{len(made) + 1}")
            made[kind].start()
        return made[kind]

    yield scene
    for scene in made.values():
        scene.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "_") for case in CASES])
def test_stops_the_robot_once_in_time_says_why_and_lets_it_drive_on(scenes, case, model):
    if case.sets_clock and (reason := missing(model)):
        pytest.skip(reason)
    scene = scenes(case)
    RETRIES.run(lambda: judge(scene, case), scene.heal)


def judge(scene, case):
    trial = run_trial(scene, case)
    assert case.harmless or trial.stop <= case.limit + SLACK + trial.lateness, trial
