"""What a policy needs and gives: observation terms, action spaces, manifest, robot types, swarm file."""

from kdmarl_core.contract.kinematics import DiffDrive, Kinematics
from kdmarl_core.contract.manifest import Manifest, mismatches
from kdmarl_core.contract.names import check_name
from kdmarl_core.contract.readings import Readings, Scan
from kdmarl_core.contract.robots import RobotType, load_robot_types
from kdmarl_core.contract.spaces import ActionSpace, Box, Continuous, Discrete
from kdmarl_core.contract.swarm import Robot, Swarm, load_swarm
from kdmarl_core.contract.terms import Term, action_mask, history_length, observation_size, observe
from kdmarl_core.contract.worlds import World
from kdmarl_core.errors import KdmarlError

__all__ = [
    "ActionSpace",
    "Box",
    "Continuous",
    "DiffDrive",
    "Discrete",
    "KdmarlError",
    "Kinematics",
    "Manifest",
    "Readings",
    "Robot",
    "RobotType",
    "Scan",
    "Swarm",
    "Term",
    "World",
    "action_mask",
    "check_name",
    "history_length",
    "load_robot_types",
    "load_swarm",
    "mismatches",
    "observation_size",
    "observe",
]
