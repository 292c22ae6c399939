"""Load a policy file, run it, keep it safe: everything a robot needs, without torch and ROS."""

from kdmarl_core.runtime.controller import Controller
from kdmarl_core.runtime.gate import Gate
from kdmarl_core.runtime.policy import Policy, read_manifest
from kdmarl_core.runtime.safety import SafetyFilter, UnsafeCommandError
from kdmarl_core.runtime.scan_guard import ScanGuard, TooOldError

__all__ = [
    "Controller",
    "Gate",
    "Policy",
    "SafetyFilter",
    "ScanGuard",
    "TooOldError",
    "UnsafeCommandError",
    "read_manifest",
]
