"""Environment variables that ROS reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kdmarl_core.contract.ros_environment import LOGS, domain, log_folder
from kdmarl_core.doctor.findings import Finding, writable


def domain_id(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Check which robots share topics."""
    number = domain(environment)
    if number is None:
        yield Finding("warn", "ROS_DOMAIN_ID is not set, so all robots on this network share domain 0; set one")
    elif 101 < number < 215:
        yield Finding("warn", f"ROS_DOMAIN_ID is {number}, whose ports other programs may use; give 0 to 101")
    else:
        yield Finding("ok", f"ROS_DOMAIN_ID is {number}")


def transport(environment: Mapping[str, str]) -> Finding:
    """Check that nodes, including drivers, do not use Fast DDS's shared memory."""
    chosen = environment.get("FASTDDS_BUILTIN_TRANSPORTS", "")
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return Finding("ok", f"RMW_IMPLEMENTATION is {environment['RMW_IMPLEMENTATION']}")
    delays = "messages are up to 0.3 s late when nodes start or end"
    if local := _local(environment):
        text = f"{local}, so Fast DDS uses shared memory and {delays}"
        return Finding("warn", f"{text}; unset it where robots drive")
    if not chosen.startswith("UDP"):
        text = f"FASTDDS_BUILTIN_TRANSPORTS is {chosen or 'not set'}, so drivers on Fast DDS use shared memory"
        return Finding("warn", f"{text}, and {delays}; set it to UDPv4 for all nodes of the robot")
    return Finding("ok", f"FASTDDS_BUILTIN_TRANSPORTS is {chosen}")


def _local(environment: Mapping[str, str]) -> str:
    """The setting that restricts nodes to this computer, as ROS reads it; empty if there is none."""
    if environment.get("ROS_LOCALHOST_ONLY") == "1":
        return "ROS_LOCALHOST_ONLY is 1"
    name = "ROS_AUTOMATIC_DISCOVERY_RANGE"
    chosen = environment.get(name, "")
    if chosen in ("", "SUBNET", "OFF", "SYSTEM_DEFAULT"):
        return ""
    return f"{name} is LOCALHOST" if chosen == "LOCALHOST" else f"{name} is {chosen}, which ROS treats as LOCALHOST"


def logs(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Check that nodes can log."""
    yield from writable(log_folder(environment), LOGS)
