"""The judge's arithmetic on made-up tracks."""

import itertools
import math

import numpy as np
import pytest
from msgspec.structs import replace

from kdmarl_core.contract.swarm import Bars
from kdmarl_core.judge import judgement
from kdmarl_core.judge.judgement import Track, collision_starts, gaps, judge, resample
from kdmarl_core.judge.tracks_figure import draw_tracks, save_tracks
from sim_support import make_swarm, robot

RADIUS = 0.18


def track(*places, start=0.0, speed=0.5, rate=10.0):
    """Straight from place to place at ``speed`` [m/s], odometry at ``rate`` [Hz]; a place twice is a 2 s rest."""
    xy, yaw = [np.array(places[0], float)], [0.0]
    for here, there in itertools.pairwise(places):
        way = np.subtract(there, here)
        length = math.hypot(*way)
        count = round((length / speed if length else 2.0) * rate)
        xy += [here + way * (step + 1) / count for step in range(count)]
        yaw += [math.atan2(way[1], way[0]) if length else yaw[-1]] * count
    return Track(start + np.arange(len(xy)) / rate, np.array(xy), np.array(yaw))


def judged(robots, tracks, duration, **world):
    return judge(make_swarm(robots, **world), dict(zip([r.name for r in robots], tracks, strict=True)), 0.0, duration)


def test_a_robot_that_drives_to_its_goal_and_stays():
    result = judged([robot("a", goal=(2.0, 0.0))], [track((0, 0), (2, 0), (2, 0), (2, 0), (2, 0), (2, 0))], 10.0)
    (a,) = result.robots
    assert a.goal_reached
    assert a.goal_distance == 0.0
    assert a.time_to_goal == pytest.approx(1.7 / 0.5, abs=0.06)
    assert a.path_length == pytest.approx(2.0)
    assert (a.collisions, a.stops) == (0, 0)
    assert a.minimum_clearance == pytest.approx(4.0 - 2.0 - RADIUS)
    assert result.passed
    assert result.missed == []
    assert result.totals.mean_time_to_goal == a.time_to_goal


def test_time_to_goal_counts_the_last_arrival_and_passing_through_does_not_count():
    there_and_away = track((0, 0), (2, 0), (2, 1), (2, 0), (2, 0))
    (a,) = judged([robot("a")], [there_and_away], 10.0).robots
    assert a.time_to_goal == pytest.approx((2.0 + 1.0 + 0.7) / 0.5, abs=0.06)
    (b,) = judged([robot("a")], [track((0, 0), (2, 0), (2, 2))], 8.0).robots
    assert not b.goal_reached
    assert b.time_to_goal is None
    assert b.goal_distance == pytest.approx(2.0)


def test_gaps_are_geometry():
    me, other, beyond = robot("me"), robot("other", "carrier", (0.0, 2.0, 0.0)), robot("beyond", "mini")
    tracks = resample(
        {"me": track((0, 0), (1, 0)), "other": track((0, 2), (0, 2)), "beyond": track((5, 0), (5, 0))}, 0.0, 1.0
    )
    for world, mine in (
        ({"discs": [(3.0, 0.0, 0.5)]}, 2.0 - 0.3),
        ({"discs": [(1.0, 0.0, 0.5)]}, 0.5),
        ({"walls": [(-1.0, -3.0, -1.0, -1.0)]}, math.sqrt(2.0)),
        ({"walls": [(-1.0, -3.0, -1.0, 1.0)]}, 1.0),
        ({"walls": [(0.5, 0.5, 0.5, 0.5)]}, math.sqrt(0.5)),
        ({"size": (3.0, 9.0)}, 1.5),
    ):
        at_start = gaps(make_swarm([me, other, beyond], **world), tracks)[0]
        assert at_start[0] == pytest.approx(mine - RADIUS)
        assert at_start[2] == pytest.approx(make_swarm([], **world).world.size[0] / 2 - 5.0 - 0.12)  # outside


@pytest.mark.parametrize(
    ("series", "starts"),
    [
        ([0.2, 0.1, 0.06], []),
        ([0.2, 0.005, 0.2], [1]),
        ([0.2, 0.005, 0.03, 0.0, 0.02, -0.01, 0.2], [1]),  # chatter is one collision
        ([0.2, 0.005, 0.06, 0.0, 0.2], [1, 3]),
        ([0.2, 0.005, 0.05, 0.0, 0.2], [1, 3]),
        ([0.2, 0.01, 0.2], []),
        ([0.0, 0.2], []),  # the start does not count
        ([0.0, 0.0, 0.2], [1]),
        ([0.03, 0.02, 0.03], []),
    ],
)
def test_collisions_start_below_one_threshold_and_end_at_another(series, starts):
    gap = np.stack([series, np.full(len(series), 0.2)], 1)
    found = collision_starts(gap)
    assert np.flatnonzero(found[:, 0]).tolist() == starts
    assert not found[:, 1].any()


def test_a_robot_that_is_pushed_along_a_wall_collides_once():
    """What it touches meanwhile does not count again; the one that pushes has a collision of its own."""
    robots = [robot("a", pose=(0.0, 3.82, 0.0)), robot("b", pose=(-2.0, 3.8, 0.0)), robot("c")]
    at_the_wall = track((0, 3.0), (0, 3.82), (0, 3.82), (0, 3.82), (1, 3.82))
    pusher = track((-2, 3.8), (-2, 3.8), (-0.36, 3.8), (-0.36, 3.8))
    result = judged(robots, [at_the_wall, pusher, track((0, -3), (0, -3))], 7.0)
    assert [one.collisions for one in result.robots] == [1, 1, 0]


def test_a_touch_of_two_robots_counts_for_both_and_one_of_a_pillar_for_one():
    robots = [robot("a"), robot("b", pose=(2.0, 0.0, 0.0)), robot("c", pose=(0.0, 3.0, 0.0))]
    tracks = [track((0, 0), (1, 0), (0, 0)), track((2, 0), (1.3, 0), (1.3, 0)), track((0, 3), (1, 3), (0, 3))]
    result = judged(robots, tracks, 3.0, discs=[(1.5, 3.0, 0.4)])
    assert [one.collisions for one in result.robots] == [1, 1, 1]
    assert result.totals.collisions == 3
    assert result.totals.collisions_per_robot == 1.0
    assert result.totals.minimum_clearance < 0


def test_stops_are_rests_of_over_a_second_away_from_the_goal_once_it_moved():
    late_start = track((0, 0), (0, 0), (1, 0), (1, 0), (1, 0), (1.3, 0), (1.3, 0), (2, 0), (2, 0))
    (a,) = judged([robot("a", goal=(2.0, 0.0))], [late_start], 13.5).robots
    assert a.stops == 2


def test_turning_on_the_spot_is_not_a_stop():
    turning = track((0, 0), (1, 0), (1, 0))
    turning.yaw[20:] = np.arange(len(turning.yaw) - 20) * 0.05
    (a,) = judged([robot("a")], [turning], 4.0).robots
    assert a.stops == 0


def test_yaw_is_interpolated_the_short_way_round():
    places = Track(np.array([0.0, 1.0]), np.zeros((2, 2)), np.array([3.1, -3.1]))
    yaw = resample({"a": places}, 0.0, 1.0)["a"].yaw
    assert yaw[len(yaw) // 2] == pytest.approx(math.pi)


def test_tracks_of_other_rates_and_offsets_share_the_times_of_the_run():
    tracks = {"a": track((0, 0), (2, 0), start=99.0), "b": track((0, 1), (2, 1), start=98.0, rate=7.0)}
    sampled = resample(tracks, 100.0, 102.0)
    assert sampled["a"].times[0] == 0.0
    np.testing.assert_array_equal(sampled["a"].times, sampled["b"].times)
    np.testing.assert_allclose(sampled["a"].xy[0], (0.5, 0.0))
    np.testing.assert_allclose(sampled["b"].xy[0], (1.0, 1.0), atol=1e-9)


def test_bars_decide():
    robots = [robot("a", goal=(2.0, 0.0)), robot("b", pose=(0.0, 2.0, 0.0), goal=(2.0, 2.0))]
    tracks = dict(zip("ab", [track((0, 0), (2, 0)), track((0, 2), (1, 2), (1, 2))], strict=True))
    swarm = make_swarm(robots)
    result = judge(swarm, tracks, 0.0, 4.0)
    assert not result.passed
    assert result.missed == ["1 of 2 robots at their goal, the bar is 90%"]
    assert judge(replace(swarm, bars=Bars(goals_reached=0.5)), tracks, 0.0, 4.0).passed


NEAR, FAR = (0.0, 0.0), (0.5, 0.0)
"""Two targets so close that a robot may be within reach of both."""


@pytest.mark.parametrize(
    ("targets", "places", "there", "distances", "covered"),
    [
        ([NEAR, (3.0, 0.0)], [(0.1, 0.0), (2.8, 0.0)], "ab", [0.1, 0.2], 2),
        ([NEAR, (3.0, 0.0)], [(0.2, 0.0), (0.0, 0.1)], "b", [2.8, 0.1], 1),  # both at one target: it is the nearer's
        ([NEAR, (3.0, 0.0)], [(0.4, 0.0), (2.8, 0.0)], "b", [0.4, 0.2], 1),  # out of tolerance
        ([NEAR, FAR], [(0.24, 0.0), (0.5, 3.0)], "a", [0.24, 3.0], 2),  # a robot within reach of both
        ([NEAR, FAR], [(0.24, 0.0), (0.0, 0.25)], "a", [0.24, math.hypot(0.5, 0.25)], 2),  # in the way of the other
        ([NEAR, FAR], [(0.22, 0.0), (0.1, 0.0)], "ab", [0.28, 0.1], 2),  # its own is not its nearest
        ([NEAR], [(0.2, 0.0), (0.0, 0.1)], "b", [0.2, 0.1], 1),  # fewer targets than robots
        ([NEAR, (3.0, 0.0), (-3.0, 0.0)], [(0.1, 0.0), (2.8, 0.0)], "ab", [0.1, 0.2], 2),  # more of them
    ],
)
def test_targets_are_shared_out_nearest_first_and_covered_by_any_robot(targets, places, there, distances, covered):
    robots = [robot(name, goal=None) for name in "ab"]
    swarm = replace(make_swarm(robots), targets=targets)
    tracks = {name: track(place, place) for name, place in zip("ab", places, strict=True)}
    result = judge(swarm, tracks, 0.0, 2.0)
    assert "".join(one.name for one in result.robots if one.goal_reached) == there
    # The first look is one sample after the start.
    assert [one.time_to_goal for one in result.robots] == [0.05 if name in there else None for name in "ab"]
    assert [one.goal_distance for one in result.robots] == [pytest.approx(value, abs=1e-3) for value in distances]
    assert (result.totals.goals_reached, result.totals.targets) == (covered, len(targets))
    assert result.totals.goals_reached_share == pytest.approx(covered / len(targets), abs=1e-4)
    missed = [f"{covered} of {len(targets)} targets covered, the bar is 90%"] if covered < len(targets) else []
    assert [sentence for sentence in result.missed if "bar is 90%" in sentence] == missed


def test_time_to_goal_is_since_when_a_robot_is_at_a_target_of_its_own():
    """One that moves on to another counts from its second arrival, one that is displaced does not count."""
    targets = [(2.0, 0.0), (2.0, 2.0)]
    swarm = replace(make_swarm([robot(name, goal=None) for name in "ab"]), targets=targets)
    moves_on = track((0, 0), (2, 0), (2, 2), (2, 2), (2, 2))
    one, other = judge(swarm, {"a": moves_on, "b": track((0, -3), (0, -3), (0, -2))}, 0.0, 12.0).robots
    assert one.time_to_goal == pytest.approx((2.0 + 1.7) / 0.5, abs=0.06)
    assert other.time_to_goal is None
    displaced = track((1.8, 0.0), (1.8, 0.0))
    one, other = judge(swarm, {"a": displaced, "b": track((2, -2), (2, 0), (2, 0))}, 0.0, 6.0).robots
    assert (one.goal_reached, one.time_to_goal, one.goal_distance) == (False, None, 2.01)
    assert other.time_to_goal == pytest.approx(1.8 / 0.5, abs=0.11)  # the place is its own once it is the nearer


def test_long_runs_with_targets_are_judged_in_parts():
    """Parts share their borders: places are shared out by the sample before."""
    targets = [(2.0, 0.0), (2.0, 2.0)]
    swarm = replace(make_swarm([robot(name, goal=None) for name in "ab"]), targets=targets)
    rng = np.random.default_rng(0)
    tracks = {name: track(*[(x, y) for x, y in rng.uniform(-3, 3, (30, 2))]) for name in "ab"}
    whole = judge(swarm, tracks, 0.0, 100.0)
    for size in (1, 7, 10_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(judgement, "CHUNK", size)
            assert judge(swarm, tracks, 0.0, 100.0) == whole


def test_rests_at_no_target_are_stops_and_rests_at_one_are_not():
    swarm = replace(make_swarm([robot("a", goal=None)]), targets=[(2.0, 0.0), (-2.0, 0.0)])
    (a,) = judge(swarm, {"a": track((0, 0), (1, 0), (1, 0), (2, 0), (2, 0))}, 0.0, 8.0).robots
    assert a.stops == 1


def test_a_robot_whose_odometry_ended_early_does_not_pass():
    result = judged([robot("a", goal=(2.0, 0.0))], [track((0, 0), (2, 0))], 10.0)
    assert result.robots[0].goal_reached
    assert result.missed == ["a gave no odometry in the last 6.0 s"]
    assert not result.passed


def test_without_world_and_others_there_is_no_clearance():
    swarm = replace(make_swarm([robot("a")]), world=None)
    result = judge(swarm, {"a": track((0, 0), (2, 0))}, 0.0, 4.0)
    assert result.robots[0].minimum_clearance is None
    assert result.totals.minimum_clearance is None


def stars(axes):
    """Where goals or targets are drawn."""
    return [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == "*"]


def test_the_picture_shows_targets():
    swarm = replace(make_swarm([robot("a", goal=None)]), targets=[(2.0, 0.0), (-2.0, 1.0)])
    tracks = {"a": track((0, 0), (2, 0))}
    result = judge(swarm, tracks, 0.0, 4.0)
    axes = draw_tracks(swarm, result, tracks, 0.0, 4.0).axes[0]
    assert stars(axes) == swarm.targets
    assert "1 of 2 targets covered after 4 s" in axes.get_title()
    assert "target (within 0.3 m)" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_picture_shows_robots_and_collisions_in_metres(tmp_path):
    robots = [robot("a"), robot("m", "mini", (0.0, 2.0, 0.0), goal=(0.0, -2.0))]
    swarm = make_swarm(robots, discs=[(1.0, 0.0, 0.3)], walls=[(1.0, 1.0, 2.0, 1.0)])
    tracks = {"a": track((0, 0), (0.6, 0)), "m": track((0, 2), (0, 1))}
    result = judge(swarm, tracks, 0.0, 2.0)
    axes = draw_tracks(swarm, result, tracks, 0.0, 2.0).axes[0]
    assert axes.get_aspect() == 1.0
    assert {text.get_text() for text in axes.texts} == {"a", "m"}
    assert axes.get_title().endswith(" 1 collision")
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "collision"
    assert len(stars(axes)) == len(robots)
    save_tracks(tmp_path / "tracks.png", swarm, result, tracks, 0.0, 2.0)
    assert (tmp_path / "tracks.png").read_bytes().startswith(b"\x89PNG")
