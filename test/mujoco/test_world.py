"""Drives, sensors and contacts of the MuJoCo world, against geometry."""

import math
import time

import mujoco
import numpy as np
import pytest
import yaml
from msgspec.structs import replace

from kdmarl_core.contract import KdmarlError, World, load_robot_types, load_swarm
from kdmarl_core.contract.sensors.base import Mounting
from kdmarl_core.contract.worlds import world_clearance
from kdmarl_core.mujoco.world import MujocoWorld
from sim_support import CROSSING, make_swarm, robot, write_swarm
from support import REPOSITORY

KINDS = ["scout", "carrier", "mini", "omni"]
PERIOD = 0.1


def noiseless(swarm):
    """The same swarm with perfect sensors."""
    types = {}
    for name, kind in swarm.robot_types.items():
        parts = {field: replace(part, noise=0.0) for field, part in kind.sensors.carried.items()}
        types[name] = replace(kind, sensors=replace(kind.sensors, **parts))
    return replace(swarm, robot_types=types)


def drive(world, name, *command, seconds):
    """Give the command each 0.1 s; returns the odometry after each."""
    track = []
    for _ in range(round(seconds / PERIOD)):
        world.command(name, *command)
        world.step(PERIOD)
        track.append(world.odometry(name))
    return track


@pytest.mark.parametrize("kind", KINDS)
def test_drives_straight_by_its_limits(kind):
    swarm = make_swarm([robot("r", kind, (-3.0, 0.0, 0.0))])
    action = swarm.robot_types[kind].action
    top = action.linear[1]
    track = drive(MujocoWorld(swarm), "r", 2 * top, *[0.0] * (action.size - 1), seconds=5.0)
    ramp_time = top / action.linear_acceleration
    assert track[-1].forward == pytest.approx(top, rel=0.01)
    assert track[-1].x + 3.0 == pytest.approx(top * (5.0 - ramp_time / 2), rel=0.02)
    assert abs(track[-1].y) < 1e-6
    speeds = [0.0] + [at.forward for at in track]
    assert max(np.diff(speeds)) <= action.linear_acceleration * PERIOD * 1.02
    assert speeds[1] == pytest.approx(action.linear_acceleration * PERIOD, rel=0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_turns_on_the_spot_by_its_limits(kind):
    swarm = make_swarm([robot("r", kind)])
    action = swarm.robot_types[kind].action
    track = drive(MujocoWorld(swarm), "r", *[0.0] * (action.size - 1), 10.0, seconds=4.0)
    top = action.angular[1]
    assert track[-1].yaw_rate == pytest.approx(top, rel=0.01)
    assert math.hypot(track[-1].x, track[-1].y) < 1e-3
    turned = np.unwrap([at.yaw for at in track])[-1]
    assert turned == pytest.approx(top * (4.0 - top / action.angular_acceleration / 2), rel=0.02)


@pytest.mark.parametrize("yaw", [0.0, 2.0])
def test_a_holonomic_base_drives_sideways_by_its_limits(yaw):
    swarm = make_swarm([robot("r", "omni", (0.0, 0.0, yaw))])
    action = swarm.robot_types["omni"].action
    top = action.lateral[1]
    track = drive(MujocoWorld(swarm), "r", 0.0, 2.0, 0.0, seconds=4.0)
    assert track[-1].lateral == pytest.approx(top, rel=0.01)
    assert abs(track[-1].forward) < 0.005
    left = math.cos(yaw) * track[-1].y - math.sin(yaw) * track[-1].x
    assert left == pytest.approx(top * (4.0 - top / action.lateral_acceleration / 2), rel=0.02)
    assert abs(track[-1].yaw - yaw) < 1e-3
    speeds = [0.0] + [at.lateral for at in track]
    assert max(np.diff(speeds)) <= action.lateral_acceleration * PERIOD * 1.02


def test_a_holonomic_base_turns_while_it_goes_straight():
    """Its speed is in its own frame, so that straight over ground needs commands that turn against it."""
    world = MujocoWorld(make_swarm([robot("r", "omni", (-2.0, 0.0, 0.0))]))
    for _ in range(600):
        yaw = world.odometry("r").yaw
        world.command("r", 0.4 * math.cos(yaw), -0.4 * math.sin(yaw), 1.0)
        world.step(0.01)
    at = world.odometry("r")
    assert at.x == pytest.approx(-2.0 + 0.4 * 6.0, abs=0.1)
    assert abs(at.y) < 0.1
    assert at.yaw_rate == pytest.approx(1.0, rel=0.02)


def test_a_holonomic_base_is_pushed_and_stops_at_walls():
    robots = [robot("o", "omni", (0.0, 3.0, 0.0)), robot("p", "omni"), robot("q", "mini", (0.0, -1.0, math.pi / 2))]
    world = MujocoWorld(make_swarm(robots))
    for _ in range(60):
        world.command("o", 0.0, 0.4, 0.0)
        world.command("p", 0.0, -0.3, 0.0)
        world.command("q", 0.3, 0.0)
        world.step(0.1)
    assert world.odometry("o").y == pytest.approx(4.0 - 0.20, abs=0.01)
    assert ("o", "wall:side_1_+1") in world.contacts()
    assert ("p", "q") in world.contacts()
    gap = math.dist(world.odometry("p")[:2], world.odometry("q")[:2])
    assert gap == pytest.approx(0.20 + 0.12, abs=0.01)


def test_a_circle_has_the_radius_of_speed_over_yaw_rate():
    world = MujocoWorld(make_swarm([robot("r")]))
    track = drive(world, "r", 0.4, 0.8, seconds=4 * math.pi)[20:]
    centre_distance = [math.hypot(at.x, at.y - 0.5) for at in track]
    assert np.mean(centre_distance) == pytest.approx(0.5, abs=0.02)
    assert max(abs(at.lateral) for at in track) < 0.01


def test_a_robot_rolls_to_a_stop_when_commands_cease():
    world = MujocoWorld(make_swarm([robot("r")]))
    assert drive(world, "r", 0.5, 0.0, seconds=1.0)[-1].forward == pytest.approx(0.5, rel=0.02)
    world.step(0.4)
    assert world.odometry("r").forward == pytest.approx(0.5, rel=0.02)
    world.step(0.6)
    assert abs(world.odometry("r").forward) < 0.005


def test_a_robot_stands_still_without_commands():
    world = MujocoWorld(make_swarm([robot("r", pose=(1.0, 2.0, 0.5))]))
    world.step(2.0)
    at = world.odometry("r")
    assert (at.x, at.y, at.yaw) == pytest.approx((1.0, 2.0, 0.5), abs=1e-6)


def test_neighbors_are_the_others_in_the_robots_frame():
    robots = [robot("me", pose=(0.5, 0.3, math.pi / 2)), robot("left", pose=(-1.0, 0.3, math.pi)), robot("far", "mini")]
    world = MujocoWorld(make_swarm(robots))
    left, far = world.neighbors("me")
    assert left == pytest.approx((0.0, 1.5, math.pi / 2), abs=1e-6)
    at = world.odometry("far")
    assert far[:2] == pytest.approx((at.y - 0.3, 0.5 - at.x), abs=1e-6)


def test_a_scan_sees_walls_pillars_and_other_robots_where_they_are():
    others = [robot("me", pose=(0.5, 0.3, 0.0)), robot("other", "mini", (0.5, -1.2, 1.0), goal=(0.0, 2.0))]
    swarm = noiseless(make_swarm(others, size=(6.0, 6.0), discs=[(2.0, 0.3, 0.4)], walls=[(-1.0, -1.0, -1.0, 1.0)]))
    world = MujocoWorld(swarm)
    scan = world.scan("me")
    assert scan.dtype == np.float32
    assert scan.shape == (360,)
    ahead, left, behind, right = scan[180], scan[270], scan[0], scan[90]
    assert ahead == pytest.approx(1.5 - 0.4, abs=1e-3)  # the pillar
    assert left == pytest.approx(3.0 - 0.3, abs=1e-3)  # the arena
    assert behind == pytest.approx(1.5, abs=0.01)  # the thin wall
    assert right == pytest.approx(1.5 - 0.12, abs=1e-3)  # the other robot
    assert world.scan("other") is None


def test_a_scan_turns_with_the_robot():
    world = MujocoWorld(noiseless(make_swarm([robot("me", pose=(0.0, 0.0, math.pi / 2))], discs=[(0.0, 2.0, 0.5)])))
    scan = world.scan("me")
    assert scan[180] == pytest.approx(1.5, abs=1e-3)
    assert np.isposinf(scan[90])  # the arena is 4 m away, the lidar ends at 3.5 m
    pillar = np.isfinite(scan)
    assert pillar.sum() == pytest.approx(2 * math.degrees(math.asin(0.25)), abs=2)


def test_every_beam_of_a_scan_is_right_inside_an_empty_arena():
    swarm = noiseless(make_swarm([robot("me", "carrier", (0.4, -0.7, 0.3))], size=(5.0, 4.0)))
    lidar = swarm.robot_types["carrier"].sensors.lidar
    scan = MujocoWorld(swarm).scan("me")
    angles = 0.3 + lidar.angle_min + lidar.angle_increment * np.arange(lidar.beams)
    along_x = (np.sign(np.cos(angles)) * 2.5 - 0.4) / np.cos(angles)
    along_y = (np.sign(np.sin(angles)) * 2.0 + 0.7) / np.sin(angles)
    np.testing.assert_allclose(scan, np.minimum(along_x, along_y), atol=1e-4)


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_mounted_lidar_looks_from_where_it_is(upside_down):
    mounting = Mounting(x=-0.2, y=0.1, yaw=math.pi / 2, upside_down=upside_down)
    swarm = noiseless(make_swarm([robot("me", pose=(0.5, 0.0, 0.0))], size=(5.0, 4.0)))
    kind = swarm.robot_types["scout"]
    mounted = replace(kind, sensors=replace(kind.sensors, lidar=replace(kind.sensors.lidar, mounting=mounting)))
    scan = MujocoWorld(replace(swarm, robot_types={"scout": mounted})).scan("me")
    ahead, left, behind, right = 2.5 - 0.3, 2.0 - 0.1, 2.5 + 0.3, 2.0 + 0.1
    # Its own front, at beam 180, looks to the robot's left; its angles count clockwise if it is upside down.
    clockwise = [left, ahead, right, behind]
    assert scan[[180, 270, 0, 90]] == pytest.approx(
        clockwise if upside_down else [left, behind, right, ahead], abs=2e-3
    )


def test_range_sensors_on_a_circle_measure_from_where_they_are():
    swarm = noiseless(make_swarm([robot("me", "mini", pose=(0.0, 0.0, 0.0))], size=(3.0, 3.0)))
    kind = swarm.robot_types["mini"]
    ring = replace(kind.sensors.range_sensors, circle=0.1, mounting=Mounting(x=0.05))
    rim = replace(kind, sensors=replace(kind.sensors, range_sensors=ring))
    ranges = MujocoWorld(replace(swarm, robot_types={"mini": rim})).ranges("me")
    assert ranges[[0, 2, 4, 6]] == pytest.approx([1.5 - 0.15, 1.4, 1.5 - 0.05, 1.4], abs=0.01)


def test_range_sensors_report_the_nearest_thing_in_their_cone():
    # The pillar's middle is 0.1 rad off the front sensor's axis: inside the cone, missed by a single ray.
    pillar = (1.0 * math.cos(0.1), 1.0 * math.sin(0.1), 0.06)
    world = MujocoWorld(noiseless(make_swarm([robot("me", "mini", pose=(0.0, 0.0, 0.0))], discs=[pillar])))
    ranges = world.ranges("me")
    assert ranges.dtype == np.float32
    assert ranges[0] == pytest.approx(1.0 - 0.06, abs=0.01)
    assert np.isposinf(ranges[1:]).all()
    assert world.scan("me") is None


def test_too_near_reads_minus_infinity():
    # The sensor sits in the middle, so only a minimum range beyond the body can be undercut.
    swarm = noiseless(make_swarm([robot("me", pose=(0.0, 0.0, 0.0))], discs=[(0.6, 0.0, 0.3)]))
    kind = swarm.robot_types["scout"]
    near_sighted = replace(kind, sensors=replace(kind.sensors, lidar=replace(kind.sensors.lidar, min_range=0.5)))
    scan = MujocoWorld(replace(swarm, robot_types={"scout": near_sighted})).scan("me")
    assert np.isneginf(scan[180])


def test_noise_has_the_stated_deviation():
    world = MujocoWorld(make_swarm([robot("me", "carrier")]))
    errors = np.array([world.scan("me") for _ in range(50)])
    assert errors.std(axis=0).mean() == pytest.approx(0.01, rel=0.05)


def test_robots_touch_walls_pillars_and_each_other_and_stop_there():
    robots = [
        robot("east", pose=(3.0, 3.0, 0.0)),
        robot("pillar", pose=(0.0, 0.0, 0.0)),
        robot("left", "carrier", (-1.0, -3.0, 0.0)),
        robot("right", "mini", (0.0, -3.0, math.pi)),
    ]
    world = MujocoWorld(make_swarm(robots, discs=[(1.0, 0.0, 0.3)]))
    assert world.contacts() == []
    for _ in range(50):
        for one in robots:
            world.command(one.name, 0.4, 0.0)
        world.step(0.1)
    contacts = world.contacts()
    assert ("east", "wall:side_0_+1") in contacts
    assert ("pillar", "pillar:0") in contacts
    assert ("left", "right") in contacts
    assert world.odometry("east").x == pytest.approx(4.0 - 0.18, abs=0.01)
    assert world.odometry("pillar").x == pytest.approx(1.0 - 0.3 - 0.18, abs=0.01)
    # The carrier outweighs the mini and pushes it back.
    assert world.odometry("left").x > -0.7
    gap = math.dist(world.odometry("left")[:2], world.odometry("right")[:2])
    assert gap == pytest.approx(0.30 + 0.12, abs=0.01)


def test_any_name_of_ros_does_for_a_robot():
    """Also those that MuJoCo has itself, or that our own parts of the model had."""
    names = ["world", "floor", "fleet", "fleet/Left_wheel", "fleet/left_wheel", "wall/0", "pillar/0"]
    robots = [robot(name, "mini", (-3.0, row - 3.0, 0.0)) for row, name in enumerate(names)]
    world = MujocoWorld(make_swarm(robots, discs=[(3.0, 0.0, 0.3)], walls=[(3.0, 2.0, 3.5, 2.0)]))
    for row, name in enumerate(names):
        world.command(name, 0.3, 0.0)
        assert world.odometry(name).y == pytest.approx(row - 3.0)
    world.step(0.4)
    assert all(world.odometry(name).x > -2.97 for name in names)
    assert world.contacts() == []


def test_an_edit_adds_bodies_joints_motors_and_sensors():
    def edit(spec):
        mast = spec.body("r:body").add_body(name="r:mast", pos=[0, 0, 0.3])
        mast.add_joint(name="r:mast", axis=[0, 0, 1])
        mast.add_geom(name="r:mast", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.05, 0.02, 0.05], mass=0.1)
        motor = spec.add_actuator(target="r:mast", trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_velocity(0.01)
        spec.body("r:body").add_site(name="r:imu")
        spec.add_sensor(
            name="r:gyro", type=mujoco.mjtSensor.mjSENS_GYRO, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="r:imu"
        )
        crate = spec.worldbody.add_body(name="crate", pos=[1.0, 0, 0.1])
        crate.add_geom(name="crate", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.1, 0.5, 0.1])

    swarm = make_swarm([robot("r"), robot("other", "mini", (0.0, 2.0, 0.0))])
    world = MujocoWorld(swarm, edit=edit)
    world.data.ctrl[-1] = 1.0
    assert MujocoWorld(swarm).model.nu == world.model.nu - 1 == 4
    track = drive(world, "r", 0.0, 0.8, seconds=2.0)
    assert track[-1].yaw_rate == pytest.approx(0.8, rel=0.02)
    assert world.data.sensor("r:gyro").data[2] == pytest.approx(track[-1].yaw_rate, rel=1e-3)
    assert world.data.joint("r:mast").qvel[0] > 0.1
    assert world.odometry("other").y == pytest.approx(2.0, abs=1e-6)
    world.reset()
    assert MujocoWorld(noiseless(swarm), edit=edit).scan("r")[180] == pytest.approx(0.9, abs=1e-3)
    assert drive(world, "r", 0.5, 0.0, seconds=4.0)[-1].x == pytest.approx(0.9 - 0.18, abs=0.01)
    assert world.contacts() == [("r", "crate")]


def test_an_edit_that_mujoco_refuses_is_reported():
    with pytest.raises(KdmarlError, match="cannot build this world .*must be larger than mjMINVAL"):
        MujocoWorld(make_swarm([robot("r")]), edit=lambda spec: spec.worldbody.add_body(name="b").add_freejoint())


def record(seed):
    world = MujocoWorld(make_swarm([robot("a"), robot("b", "mini", (1.0, 0.0, 3.0))]), seed)
    return b"".join(frame(world, step) for step in range(30)), world


def frame(world, step):
    world.command("a", 0.5, math.sin(step))
    world.command("b", 0.3, 0.2)
    world.step(0.1)
    return world.scan("a").tobytes() + world.ranges("b").tobytes() + np.array(world.odometry("b")).tobytes()


def test_same_seed_and_commands_give_the_same_bytes_again_and_after_reset():
    first, world = record(7)
    assert record(7)[0] == first
    assert record(8)[0] != first
    world.reset()
    assert world.time_ns == 3_000_000_000
    assert world.odometry("a").x == 0.0
    assert b"".join(frame(world, step) for step in range(30)) == first


def test_sixteen_lidars_run_faster_than_real_time():
    robots = [robot(f"r{i}", pose=(-4.5 + 3 * (i % 4), -4.5 + 3 * (i // 4), float(i))) for i in range(16)]
    world = MujocoWorld(make_swarm(robots, size=(14.0, 14.0)))
    start = time.process_time()
    for _ in range(20):
        for one in robots:
            world.command(one.name, 0.3, 0.4)
        world.step(0.1)
        for one in robots:
            world.scan(one.name)
    assert time.process_time() - start < 2.0


def test_a_swarm_without_world_is_refused():
    with pytest.raises(KdmarlError, match="no 'world'"):
        MujocoWorld(replace(make_swarm([robot()]), world=None))


@pytest.mark.parametrize("name", ["crossing", "omni"])
def test_the_demo_arenas_can_be_crossed(name):
    """Every start and goal leaves room, and the paths are short enough for the slowest robot."""
    data = yaml.safe_load(CROSSING.with_name(f"{name}.yaml").read_text())
    world = World(**data["world"])
    types = load_robot_types(REPOSITORY / "config" / "robots.yaml")
    goals = [one["goal"] for one in data["robots"]]
    for one in data["robots"]:
        assert math.dist(one["pose"][:2], one["goal"]) < 7.1
        assert world_clearance(world, *one["pose"][:2]) > types[one["type"]].radius + 0.2
        assert world_clearance(world, *one["goal"]) >= 0.6
        assert sorted(math.dist(one["goal"], goal) for goal in goals)[1] >= 1.0


@pytest.mark.parametrize("name", ["passage", "coverage"])
def test_the_other_arenas_leave_as_much_room_as_in_training(tmp_path, name):
    """Margins and distances of ``envs/robots/layouts.py``; any robot may cover any target."""
    margin, approach = 0.4, 0.8
    swarm = load_swarm(write_swarm(tmp_path, like=CROSSING.with_name(f"{name}.yaml")))
    radius = [swarm.robot_type(one).radius for one in swarm.robots]
    starts = [one.pose[:2] for one in swarm.robots]
    ends = swarm.targets or [one.goal for one in swarm.robots]
    assert len(ends) == len(starts)
    for places, sizes in ((starts, radius), (ends, [max(radius)] * len(ends) if swarm.targets else radius)):
        for index, (place, size) in enumerate(zip(places, sizes, strict=True)):
            assert world_clearance(swarm.world, *place) > size + margin
            for other, there in zip(sizes[:index], places, strict=False):
                assert math.dist(place, there) > size + other + margin
    if swarm.world.walls:
        for start, end, size in zip(starts, ends, radius, strict=True):
            assert start[0] * end[0] < 0
            assert min(abs(start[0]), abs(end[0])) >= approach + size
        assert sum(start[0] < 0 for start in starts) == 3
    MujocoWorld(swarm).step(0.1)
