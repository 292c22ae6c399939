"""Somebody's own SDF world: what stands in it, what it lacks, and what the judge knows of it."""

import math

import numpy as np
import pytest
from msgspec.structs import replace

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.contract.robots import Model
from kdmarl_core.contract.worlds import GazeboWorld
from kdmarl_core.gazebo.files import write
from kdmarl_core.gazebo.obstacles import obstacles_of
from kdmarl_core.gazebo.versions import RELEASES, Lidars
from kdmarl_core.judge.definitions import gaps
from sim_support import make_swarm, robot, write_swarm
from support import REPOSITORY

HARMONIC = RELEASES["harmonic"]
SYSTEMS = "".join(
    f'<plugin filename="gz-sim-{name}-system" name="gz::sim::systems::{name}"/>'
    for name in ("physics", "user-commands", "sensors")
)
BOX = "<box><size>2 1 1</size></box>"
PILLAR = "<cylinder><radius>0.3</radius><length>2</length></cylinder>"
BY_QUATERNION = "rotation_format='quat_xyzw'"
MESH = "<mesh><uri>shelf.dae</uri></mesh>"


def model(geometry, pose="0 0 0.5 0 0 0", name="thing", static="true", link_pose="0 0 0 0 0 0", collision_pose=None):
    inner = f"<pose>{collision_pose}</pose>" if collision_pose else ""
    return (
        f"<model name='{name}'><static>{static}</static><pose>{pose}</pose><link name='link'><pose>{link_pose}</pose>"
        f"<collision name='solid'>{inner}<geometry>{geometry}</geometry></collision></link></model>"
    )


MOVED = "<frame name='f'><pose>5 0 0 0 0 0</pose></frame>" + model(PILLAR).replace(
    "<pose>", "<pose relative_to='f'>", 1
)


def swarm_in(folder, content, systems=SYSTEMS, robots=None, name="hall"):
    path = folder / "hall.sdf"
    path.write_text(f"<sdf version='1.8'><world name='{name}'>{systems}{content}</world></sdf>")
    swarm = make_swarm(robots or [robot(pose=(-3.0, -3.0, 0.0), goal=(3.0, -3.0))])
    return replace(swarm, world=None, gazebo=GazeboWorld(path, None))


def gap_at(swarm, x, y):
    """Of a robot without a body [m]."""
    return gaps(np.array([[[x, y]]]), np.zeros(1), obstacles_of(swarm).world)[0, 0]


@pytest.mark.parametrize(
    ("content", "place", "gap"),
    [
        (model(BOX), (3.0, 0.0), 2.0),
        (model(BOX), (0.0, 2.0), 1.5),
        (model(BOX, "1 1 0.5 0 0 1.570796"), (3.0, 1.0), 1.5),
        (model(BOX, "0 0 0.5 1.570796 0 0"), (0.0, 2.0), 1.5),
        (model(BOX, "0 0 0.5 0 1.570796 0"), (2.0, 0.0), 1.5),
        (model(PILLAR, "1 0 0 0 0 0", link_pose="1 0 0 0 0 0", collision_pose="0 1 0 0 0 0"), (2.0, 2.0), 0.7),
        (model(PILLAR, "1 0 0 0 0 1.570796", link_pose="1 0 0 0 0 0"), (1.0, 2.0), 0.7),
        (model("<sphere><radius>0.5</radius></sphere>", "0 0 0.1 0 0 0"), (2.0, 0.0), 1.5),
        (model("<sphere><radius>0.5</radius></sphere>", "0 0 -0.3 0 0 0"), (2.0, 0.0), 1.6),
        (model("<capsule><radius>0.2</radius><length>1</length></capsule>"), (2.0, 0.0), 1.8),
        (
            model(
                "<polyline><point>-1 -1</point><point>1 -1</point><point>0 1</point><height>1</height></polyline>",
                "0 0 0 0 0 0",
            ),
            (0.0, 3.0),
            2.0,
        ),
        (MOVED, (5.0, 1.0), 0.7),
        (model(PILLAR).replace("<pose>0 0 0.5 0 0 0", "<pose degrees='true'>0 1 0 0 0 90", 1), (0.0, 2.0), 0.7),
        (model(PILLAR).replace("<pose>0 0 0.5 0 0 0", f"<pose {BY_QUATERNION}>0 1 0 0 0 0 1", 1), (0.0, 2.0), 0.7),
    ],
)
def test_outlines_of_what_is_upright_are_known(tmp_path, content, place, gap):
    assert gap_at(swarm_in(tmp_path, content), *place) == pytest.approx(gap, abs=1e-5)


def test_boxes_are_filled(tmp_path):
    """A robot that is in one touches it, wherever it is."""
    swarm = swarm_in(tmp_path, model(BOX, "0 0 0.5 0 0 0.7"))
    radius = swarm.robot_types["scout"].radius
    for x, y in ((0.0, 0.0), (0.3, 0.2), (-0.5, 0.3)):
        along, across = x * math.cos(0.7) - y * math.sin(0.7), x * math.sin(0.7) + y * math.cos(0.7)
        assert gap_at(swarm, along, across) < radius


def test_what_can_be_moved_is_said(tmp_path):
    said = obstacles_of(swarm_in(tmp_path, model(BOX, static="false"))).said
    assert said == "obstacles of hall.sdf, from 0 static collisions; 1 models that can be moved are not judged"


def test_robots_that_start_above_the_floor_have_unknown_obstacles(tmp_path):
    swarm = swarm_in(tmp_path, model(BOX, "0 0 2.5 0 0 0"))
    types = {"scout": replace(swarm.robot_types["scout"], model=Model(file="a.sdf", z=2.0))}
    found = obstacles_of(replace(swarm, robot_types=types))
    assert found.world is None
    assert "as robots start above or below the floor" in found.said


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (model(BOX, "0 0 5 0 0 0"), 1),  # above all robots
        (model("<box><size>9 9 0.1</size></box>", "0 0 -0.05 0 0 0"), 1),  # floor
        (model("<plane><normal>0 0 1</normal></plane>", "0 0 0 0 0 0"), 1),
        (model("<empty/>"), 0),
        ("", 0),
    ],
)
def test_what_is_in_no_robots_way_is_no_obstacle(tmp_path, content, count):
    found = obstacles_of(swarm_in(tmp_path, content))
    assert (found.world.discs, found.world.walls) == ([], [])
    assert found.said == f"obstacles of hall.sdf, from {count} static collisions"
    assert gaps(np.zeros((1, 1, 2)), np.zeros(1), found.world)[0, 0] == math.inf


@pytest.mark.parametrize(
    "content",
    [
        model(MESH),
        model(BOX, "0 0 0.3 0 0.3 0"),
        model(PILLAR, "0 0 0.3 1.570796 0 0"),
        model("<plane><normal>1 0 0</normal></plane>"),
        model(PILLAR, "0 0 x 0 0 0"),
        model(PILLAR).replace("<pose>", "<pose relative_to='nobody'>", 1),
        model("<cylinder/>"),
        model(PILLAR, "nan 0 0 0 0 0"),
        model(PILLAR).replace("<pose>", "<pose frame='nobody'>", 1),
        model(PILLAR).replace("<model ", "<model placement_frame='link' ", 1),
        model(PILLAR).replace("<pose>0 0 0.5 0 0 0", f"<pose {BY_QUATERNION}>0 1 0 0 0 0 0", 1),
        model(PILLAR) + model(MESH, name="other"),
    ],
)
def test_with_an_unknown_outline_no_collisions_with_obstacles_are_judged(tmp_path, content):
    found = obstacles_of(swarm_in(tmp_path, content))
    assert found.world is None
    assert "1 of" in found.said
    assert "have no outline that can be told" in found.said
    assert found.said.endswith("arrivals and collisions of robots with each other are judged, no others")


def test_included_models_are_seen(tmp_path, monkeypatch):
    pillar = f"<sdf version='1.9'>{model(PILLAR, '0 0 0 0 0 0', static='false')}</sdf>"
    for folder in (tmp_path / "near", tmp_path / "shared" / "far", tmp_path / "ros" / "share" / "package"):
        folder.mkdir(parents=True)
        (folder / "new.sdf").write_text(pillar)
        (folder / "old.sdf").write_text("<sdf version='1.2'/>")
        (folder / "model.config").write_text(
            "<model><sdf version='1.2'>old.sdf</sdf><sdf version='1.10'>new.sdf</sdf></model>"
        )
    monkeypatch.setenv("GZ_SIM_RESOURCE_PATH", f"/nowhere:{tmp_path / 'shared'}")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "ros"))
    (tmp_path / "exported" / "given").mkdir(parents=True)
    (tmp_path / "exported" / "given" / "model.sdf").write_text(pillar)
    (tmp_path / "ros" / "share" / "package" / "package.xml").write_text(
        '<package><export><gazebo_ros gazebo_model_path="${prefix}/../../../exported"/></export></package>'
    )
    places = ("near", "model://far", f"file://{tmp_path}/near/new.sdf", "package://package", "model://given")
    content = "".join(
        f"<include><uri>{uri}</uri><name>n{index}</name><static>true</static><pose>{index} 0 0 0 0 0</pose></include>"
        for index, uri in enumerate(places)
    )
    content += model(PILLAR, name="next").replace("<pose>0 0 0.5 0 0 0", "<pose relative_to='n2'>0 1 0 0 0 0", 1)
    discs = obstacles_of(swarm_in(tmp_path, content)).world.discs
    assert sorted(discs) == [
        (0.0, 0.0, 0.3),
        (1.0, 0.0, 0.3),
        (2.0, 0.0, 0.3),
        (2.0, 1.0, 0.3),
        (3.0, 0.0, 0.3),
        (4.0, 0.0, 0.3),
    ]
    moved = content.replace("<name>n0</name>", "<name>n0</name><placement_frame>link</placement_frame>")
    assert "1 of" in obstacles_of(swarm_in(tmp_path, moved)).said
    with pytest.raises(KdmarlError, match="includes model://none, which is neither in the folders of .*_PATH n"):
        obstacles_of(swarm_in(tmp_path, "<include><uri>model://none</uri></include>"))
    (tmp_path / "near" / "new.sdf").write_text(f"<sdf version='1.9'><model name='m'>{content}</model></sdf>")
    with pytest.raises(KdmarlError, match="is included by what it includes; take the circle out"):
        obstacles_of(swarm_in(tmp_path, content))
    (tmp_path / "near" / "new.sdf").write_text("<robot name='u'/>")
    assert "have no outline that can be told (n0, n2)" in obstacles_of(swarm_in(tmp_path, content)).said
    (tmp_path / "near" / "new.sdf").write_text("<sdf version='1.9'><light name='lamp'/></sdf>")
    assert obstacles_of(swarm_in(tmp_path, content)).world


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"content": "<include><uri>https://fuel/x</uri></include>"},
            "takes https://fuel/x from the network",
        ),
        (
            {"systems": SYSTEMS.replace("sensors", "imu")},
            "lacks the system 'sensors'; add <plugin filename=",
        ),
        ({"systems": SYSTEMS.replace("user-commands", "imu")}, "lacks the system 'user-commands'"),
        (
            {"systems": ""},
            "lacks the system 'sensors'; add .* to it, and physics, user-commands, scene-bro",
        ),
        ({"content": model(BOX, name="scout_1")}, "has a model 'scout_1', and so has test_swarm.yaml a robot; rename"),
        ({"name": ""}, "its <world> has no name; give it one"),
        ({"content": model(PILLAR, "-3.1 -3 0 0 0 0")}, r"'scout_1': pose \[-3, -3\] touches a wall or pillar"),
        ({"content": model(BOX, "3 -2.5 0.5 0 0 0")}, r"'scout_1': goal \[3, -3\] touches a wall or pillar"),
    ],
)
def test_a_world_that_does_not_fit_is_refused(tmp_path, given, words):
    with pytest.raises(KdmarlError, match=words):
        write(swarm_in(tmp_path, **{"content": "", **given}), tmp_path / "out", HARMONIC, Lidars.RENDERING)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<sdf><world name='a'>", "is not XML: .*; correct it"),
        ("<sdf version='1.8'><model name='a'/></sdf>", "is not an SDF file with a <world>; name the file of a world"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><sdf>&b;</sdf>", "has a DOCTYPE, which files for Gazebo have not"),
    ],
)
def test_a_file_that_is_no_world_is_refused(tmp_path, text, words):
    swarm = swarm_in(tmp_path, "")
    swarm.gazebo.sdf.write_text(text)
    with pytest.raises(KdmarlError, match=words):
        write(swarm, tmp_path / "out", HARMONIC, Lidars.RENDERING)
    swarm.gazebo.sdf.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KdmarlError, match="is not text in UTF-8"):
        write(swarm, tmp_path / "out", HARMONIC, Lidars.RENDERING)
    swarm.gazebo.sdf.unlink()
    with pytest.raises(KdmarlError, match="cannot be read .No such file or directory.; check the path"):
        write(swarm, tmp_path / "out", HARMONIC, Lidars.RENDERING)


def test_systems_that_come_by_themselves_need_not_be_named(tmp_path, monkeypatch):
    sensors = SYSTEMS[SYSTEMS.index('<plugin filename="gz-sim-sensors') :]
    with pytest.raises(KdmarlError, match="lacks the system 'physics'"):
        write(swarm_in(tmp_path, "", systems=sensors), tmp_path / "out", HARMONIC, Lidars.RENDERING)
    write(swarm_in(tmp_path, "", systems=sensors), tmp_path / "out", RELEASES["ionic"], Lidars.RENDERING)
    with pytest.raises(KdmarlError, match="lacks the system 'sensors'; add [^,]* to it$"):
        write(swarm_in(tmp_path, "", systems=""), tmp_path / "out", RELEASES["ionic"], Lidars.RENDERING)
    monkeypatch.setenv("GZ_SIM_SERVER_CONFIG_PATH", "/etc/mine.config")
    files = write(swarm_in(tmp_path, "", systems=""), tmp_path / "out", HARMONIC, Lidars.RENDERING)
    assert files.world == tmp_path / "hall.sdf"
    assert files.spawns[0].arguments[:2] == ["-world", "hall"]
    assert not (tmp_path / "out" / "world.sdf").exists()
    with pytest.raises(KdmarlError, match="lacks the system 'physics'"):
        write(swarm_in(tmp_path, "", systems=sensors), tmp_path / "out", HARMONIC, Lidars.RENDERING)


@pytest.mark.parametrize(
    ("world", "words"),
    [
        ({"sdf": "a.sdf", "size": [4, 4]}, "has size and sdf; give one of them: size for an arena, sdf for"),
        ({}, "has none of size, sdf and running; give one of them"),
        ({"running": "hall", "discs": [[0, 0, 1]]}, "has discs or walls and running; put them into that world"),
        ({"sdf": "../a.sdf"}, "world: sdf: ../a.sdf is outside of"),
    ],
)
def test_a_swarm_file_says_one_world(tmp_path, world, words):
    with pytest.raises(KdmarlError, match=words):
        load_swarm(write_swarm(tmp_path, [robot()], world=world))


def test_the_example_is_known(tmp_path):
    swarm = load_swarm(REPOSITORY / "examples/gazebo/warehouse.yaml")
    assert obstacles_of(swarm).said == "obstacles of warehouse.sdf, from 8 static collisions"
    assert len(write(swarm, tmp_path, HARMONIC, Lidars.RENDERING).spawns) == 4
