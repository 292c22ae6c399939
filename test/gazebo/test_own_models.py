"""Somebody's own model of a robot: each robot's copy has topics and frames of its own, which are mapped to ours."""

import shutil
from xml.etree import ElementTree

import pytest
import yaml
from msgspec.structs import replace

from kdmarl_core.contract import KdmarlError, load_swarm
from kdmarl_core.contract.robots import Model
from kdmarl_core.contract.sensors import PointCloudSensor, Sensors
from kdmarl_core.gazebo.files import write
from kdmarl_core.gazebo.versions import RELEASES, Lidars
from sim_support import make_swarm, robot, write_swarm
from support import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "gazebo"
HARMONIC = RELEASES["harmonic"]
TUGGER = EXAMPLE / "tugger.sdf"


LIDAR = "<sensor name='lidar' type='gpu_lidar'/>"


def swarm_of(path, model=None, kind="scout", **changes):
    """Two robots of a type with the model at ``path``."""
    swarm = make_swarm([robot("a", kind), robot("fleet/b", kind, (2.0, 2.0, 0.5), (-2.0, 2.0))])
    settings = model or Model(file=path.name, topics={"scan": "lidar"})
    types = {kind: replace(swarm.robot_types[kind], model=settings)}
    return replace(swarm, robot_types=types, models={kind: path}, **changes)


def written(swarm, folder, lidars=Lidars.RENDERING):
    """Robot → the root of its model's file; and Gazebo's topic → that of ROS 2."""
    files = write(swarm, folder, HARMONIC, lidars)
    given = [dict(zip(spawn.arguments[::2], spawn.arguments[1::2], strict=True)) for spawn in files.spawns]
    bridged = {each["gz_topic_name"]: each["ros_topic_name"] for each in yaml.safe_load(files.bridge.read_text())}
    return {each["-name"]: ElementTree.parse(each["-file"]).getroot() for each in given}, bridged


def test_each_robot_has_topics_and_frames_of_its_own(tmp_path):
    roots, bridged = written(swarm_of(TUGGER), tmp_path)
    for name, root in roots.items():
        model = root.find("model")
        assert model.get("name") == name
        assert model.findtext(".//sensor/topic") == f"/{name}/lidar"
        assert model.findtext(".//sensor/gz_frame_id") == f"{name}/lidar_link"
        drive, truth = model.findall("plugin")
        assert drive.findtext("topic") == f"/{name}/cmd_vel"
        assert (drive.findtext("odom_topic"), drive.findtext("tf_topic")) == (f"/{name}/odometry", f"/{name}/tf")
        assert (drive.findtext("frame_id"), drive.findtext("child_frame_id")) == (f"{name}/odom", f"{name}/base_link")
        assert (truth.findtext("odom_topic"), truth.findtext("odom_frame")) == (f"/{name}/ground_truth", "map")
    assert bridged == {
        "/clock": "/clock",
        "/a/ground_truth": "/a/odom", "/a/lidar": "/a/scan", "/a/cmd_vel": "/a/cmd_vel",
        "/fleet/b/ground_truth": "/fleet/b/odom", "/fleet/b/lidar": "/fleet/b/scan",
        "/fleet/b/cmd_vel": "/fleet/b/cmd_vel",
    }  # fmt: skip


def test_with_a_localisation_the_models_own_odometry_counts(tmp_path):
    settings = Model(file="tugger.sdf", topics={"scan": "lidar", "odom": "odometry"})
    swarm = swarm_of(TUGGER, settings)
    swarm = replace(swarm, defaults=replace(swarm.defaults, pose_source="pose", frame_prefix=""))
    roots, bridged = written(swarm, tmp_path)
    assert bridged["/a/odometry"] == "/a/odom"
    assert bridged["/a/ground_truth"] == "/a/ground_truth"
    assert roots["a"].findtext("model/plugin/frame_id") == "odom"


def test_lidars_by_physics_are_not_rendered(tmp_path):
    roots, _ = written(swarm_of(TUGGER), tmp_path, Lidars.PHYSICS)
    assert roots["a"].find(".//sensor").get("type") == "lidar"


def test_urdf_by_xacro_has_the_robots_name(tmp_path):
    settings = Model(file="cart.urdf.xacro", arguments={"namespace": "{robot}"}, z=0.02)
    swarm = swarm_of(EXAMPLE / "cart.urdf.xacro", settings, "carrier")
    roots, bridged = written(swarm, tmp_path)
    root = roots["fleet/b"]
    assert (root.tag, root.get("name")) == ("robot", "fleet/b")
    assert root.findtext("gazebo/sensor/topic") == "/fleet/b/scan"
    assert bridged["/fleet/b/scan"] == "/fleet/b/scan"
    (spawn,) = [each for each in write(swarm, tmp_path, HARMONIC, Lidars.RENDERING).spawns if each.robot == "fleet/b"]
    assert spawn.arguments[spawn.arguments.index("-z") + 1] == "0.020000"
    assert spawn.arguments[5].endswith("models/fleet/b.urdf")


def test_relative_files_are_found_from_the_copy(tmp_path):
    (tmp_path / "body.dae").touch()
    path = tmp_path / "mine.sdf"
    mesh = "<visual name='v'><geometry><mesh><uri>{}</uri></mesh></geometry></visual>"
    more = mesh.format("body.dae") + mesh.format("model://other/body.dae")
    path.write_text(TUGGER.read_text().replace("<sensor ", f"{more}<sensor ", 1))
    roots, _ = written(swarm_of(path), tmp_path / "out")
    assert [each.text for each in roots["a"].iter("uri")] == [str(tmp_path / "body.dae"), "model://other/body.dae"]


def test_a_sensor_without_a_topic_is_called_by_its_name(tmp_path):
    path = tmp_path / "mine.sdf"
    path.write_text(TUGGER.read_text().replace("<topic>lidar</topic>", ""))
    _, bridged = written(swarm_of(path), tmp_path / "out")
    assert bridged["/a/lidar"] == "/a/scan"


def test_clouds_and_topics_that_are_in_ros_already(tmp_path):
    swarm = swarm_of(TUGGER, Model(file="tugger.sdf", topics={"points": "lidar/points", "cmd_vel": None}))
    camera = PointCloudSensor(columns=8, range=3.0, fov=1.5, heights=(-0.1, 0.5))
    types = {"scout": replace(swarm.robot_types["scout"], sensors=Sensors(point_cloud=camera))}
    _, bridged = written(replace(swarm, robot_types=types), tmp_path)
    assert bridged == {
        "/clock": "/clock",
        "/a/ground_truth": "/a/odom", "/a/lidar/points": "/a/points",
        "/fleet/b/ground_truth": "/fleet/b/odom", "/fleet/b/lidar/points": "/fleet/b/points",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"topics": {}},
            "has no topic 'scan' for scan, only cmd_vel, lidar, lidar/points, odometry, tf; map",
        ),
        ({"topics": {"scan": "front"}}, "the model of robot type 'scout' has no topic 'front' for scan"),
        ({"topics": {"scam": "lidar"}}, "topics has 'scam'; did you mean 'scan'"),
        (
            {"topics": {"scan": "lidar", "odom": "odometry"}},
            "topics has odom, and odometry that a model measures",
        ),
        ({"topics": {"scan": "lidar", "odom": None}}, "topics has odom, and odometry that a model measures"),
        ({"name": "tagger"}, "has no model 'tagger', only tugger; did you mean 'tugger'"),
        ({"arguments": {"a": "b"}}, "is not a .xacro file, and its model has arguments; take them out"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, settings, words):
    given = Model(**{"file": "tugger.sdf", "topics": {"scan": "lidar"}, **settings})
    with pytest.raises(KdmarlError, match=words):
        write(swarm_of(TUGGER, given), tmp_path / "out", HARMONIC, Lidars.RENDERING)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.sdf", "<sdf version='1.8'/>", "has no model; give an SDF file with a <model>, or a URDF"),
        (
            "a.sdf",
            "<sdf><model name='x'/><model name='y'/></sdf>",
            "has the models x, y; say which by the model",
        ),
        ("a.urdf", "<robot name='x'>", "is not XML"),
        ("a.sdf", "<sdf><model name='x'><uri>https://b/c</uri></model></sdf>", "takes https://b/c from the network"),
        (
            "a.sdf",
            "<sdf><model name='x'><include/></model></sdf>",
            "has an <include>, and only what stands in",
        ),
        (
            "a.sdf",
            f"<sdf><model name='x'><link>{LIDAR}</link><link>{LIDAR}</link></model></sdf>",
            "two sensors on",
        ),
        ("a.xacro", "<robot xmlns:xacro='http://www.ros.org/wiki/xacro'><xacro:no/></robot>", "xacro refuses it: .*no"),
    ],
)
def test_files_that_are_no_model_are_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(KdmarlError, match=words):
        write(swarm_of(tmp_path / name), tmp_path / "out", HARMONIC, Lidars.RENDERING)
    with pytest.raises(KdmarlError, match="no such file, and robot type 'scout' has it as its model; check the path"):
        write(swarm_of(tmp_path / "none.sdf"), tmp_path / "out", HARMONIC, Lidars.RENDERING)


def test_without_xacro_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    settings = Model(file="cart.urdf.xacro")
    with pytest.raises(KdmarlError, match="needs xacro, which is not installed; apt install ros-"):
        write(swarm_of(EXAMPLE / "cart.urdf.xacro", settings, "carrier"), tmp_path, HARMONIC, Lidars.RENDERING)


def test_a_swarm_file_finds_the_model_next_to_the_robot_types(tmp_path):
    path = write_swarm(tmp_path, [robot()], world={"size": [8.0, 8.0]})
    types = tmp_path / "robots.yaml"
    said = yaml.safe_load(types.read_text())
    types.write_text(yaml.safe_dump(said | {"scout": said["scout"] | {"model": "mine.sdf"}}))
    assert load_swarm(path).models == {"scout": tmp_path / "mine.sdf"}
    types.write_text(yaml.safe_dump(said | {"scout": said["scout"] | {"model": {"file": "../mine.sdf"}}}))
    with pytest.raises(KdmarlError, match="scout: model: ../mine.sdf is outside of"):
        load_swarm(path)


def test_topics_of_other_systems_and_names_of_elements_are_kept_apart(tmp_path):
    path = tmp_path / "mine.sdf"
    more = (
        '<plugin filename="gz-sim-joint-position-controller-system" name="gz::sim::systems::JointPositionController">'
        "<topic>arm</topic></plugin><plugin filename='other' name='other::Thing'><topic>kept</topic></plugin>"
        "<gz:note>kept</gz:note></model>"
    )
    camera = "<sensor name='c' type='camera'><camera><camera_info_topic>a/info</camera_info_topic></camera></sensor>"
    text = TUGGER.read_text().replace("</model>", more).replace("<sensor ", f"{camera}<sensor ", 1)
    path.write_text(text)
    roots, _ = written(swarm_of(path), tmp_path / "out")
    model = roots["a"].find("model")
    assert [each.text for each in model.findall("plugin/topic")] == ["/a/cmd_vel", "/a/arm", "kept"]
    assert model.findtext(".//camera_info_topic") == "/a/info"
    assert "<gz:note>" in (tmp_path / "out" / "models" / "a.sdf").read_text()
