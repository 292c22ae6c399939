"""Load a policy file, run it, keep it safe: everything a robot needs, without torch and ROS."""

from kdmarl_core.runtime.controller import Controller
from kdmarl_core.runtime.policy import Policy, read_manifest
from kdmarl_core.runtime.safety import SafetyFilter, UnsafeCommandError

__all__ = ["Controller", "Policy", "SafetyFilter", "UnsafeCommandError", "read_manifest"]
