"""Every fault of the table, a few times each; ``make faults`` measures them in earnest."""

import pytest

from faults.cases import CASES
from faults.harness import MODELS, Scene, run_trial
from faults.retries import Retries

REPETITIONS = 2
SLACK = 0.05
"""for the scheduling of two busy processes [s]"""
RETRIES = Retries(3)
"""A machine that is busy with something else may fail some trials, but not many, and none twice."""


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def scenes(model, tmp_path_factory):
    """A driving robot on wall time, and one on simulated time, started when it is first asked for."""
    made = {}

    def scene(sim_time):
        if sim_time not in made:
            made[sim_time] = Scene(tmp_path_factory.mktemp("scene"), model, sim_time, "/r2" if sim_time else "/r1")
            made[sim_time].start()
        return made[sim_time]

    yield scene
    for scene in made.values():
        scene.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "_") for case in CASES])
def test_stops_the_robot_once_in_time_says_why_and_lets_it_drive_on(scenes, case):
    scene = scenes(case.sim_time)
    repetitions = 1 if case.name in ("SIGINT", "SIGTERM", "SIGHUP") else REPETITIONS
    for _ in range(repetitions):
        RETRIES.run(lambda: judge(scene, case), scene.heal)


def judge(scene, case):
    trial = run_trial(scene, case)
    assert trial.stop <= case.limit + SLACK + trial.lateness, trial
