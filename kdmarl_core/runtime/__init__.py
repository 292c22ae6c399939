"""Load a policy file, run it, keep it safe: everything a robot needs, without torch and ROS."""

from kdmarl_core.runtime.policy import Policy, read_manifest
from kdmarl_core.runtime.safety import SafetyFilter, UnsafeCommand

__all__ = ["Policy", "SafetyFilter", "UnsafeCommand", "read_manifest"]
