"""The node that drives one robot by one policy file: parameters and lifecycle around the control loop."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import rclpy
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from kdmarl_core.contract import KdmarlError, load_robot_types
from kdmarl_core.runtime import Controller, Policy
from kdmarl_core.runtime.controller import SENSOR_SPACING
from kdmarl_ros.node.parameters import ANY, read_parameter, refuse_unknown
from kdmarl_ros.node.process import initialise, leave
from kdmarl_ros.node.restarts import BAD_INPUT
from kdmarl_ros.node.signals import StopSignal
from kdmarl_ros.node.transforms import Transforms
from kdmarl_ros.robot.commands import AUTO, Commands
from kdmarl_ros.robot.control_loop import ControlLoop
from kdmarl_ros.robot.diagnostics import ERROR, WARN, Diagnostics
from kdmarl_ros.robot.first_orders import first_orders
from kdmarl_ros.robot.inputs import Inputs, known_topics, required_topics
from kdmarl_ros.robot.localisation import SOURCES, Localisation, localisation
from kdmarl_ros.swarm.plan import ROBOT_NODE

ARRIVAL_TIME = 0.3
"""Longest wait of a node that ends for its stop to arrive [s]."""

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PolicyNode(LifecycleNode):
    """One robot. Configuring loads and checks the policy, activating lets it drive (:class:`ControlLoop`)."""

    def __init__(self, **options: Any) -> None:
        """Declare the parameters; configure and activate when ``autostart`` says so.

        Args:
            options: of :class:`rclpy.node.Node`, for more than one robot in a process.

        Raises:
            KdmarlError: a parameter has another type, is out of range, no QoS override, or none of ours.
        """
        super().__init__(ROBOT_NODE, **options)
        try:
            self._set_up()
        except BaseException:
            self.destroy_node()
            raise

    def _set_up(self) -> None:
        self._declare_policy()
        self._robot_type = read_parameter(self, "robot_type", "", "name of this robot's type in robot_types")
        self._robot_types = read_parameter(self, "robot_types", "", "YAML file of robot types")
        self._goal = read_parameter(
            self, "goal", Parameter.Type.DOUBLE_ARRAY, "first goal [x, y] in goal_frame [m]; none waits for goal_pose"
        )
        self._targets = read_parameter(
            self,
            "targets",
            Parameter.Type.DOUBLE_ARRAY,
            "first places that the team is to cover, x1, y1, x2, y2, … in goal_frame [m]; none waits for targets",
        )
        self._goal_frame = read_parameter(
            self, "goal_frame", "", "frame of the first goal and targets; that of odom if empty"
        )
        self._timeout = read_parameter(
            self, "sensor_timeout", 0.5, "age at which an input stops the robot [s]", (0.05, 10.0)
        )
        stamped = read_parameter(
            self, "stamped_commands", AUTO, "command by TwistStamped instead of Twist; auto: as is subscribed to", ANY
        )
        self._scan_guard = read_parameter(
            self, "scan_guard", False, "stop short of what the robot's own distance sensors see"
        )
        self._on_sensor = (
            self._read_choice(
                "trigger",
                ("timer", "sensor"),
                "what starts a control cycle: timer, at whole multiples of the period; sensor, a new scan",
            )
            == "sensor"
        )
        self._pose_source = self._read_choice(
            "pose_source",
            SOURCES,
            "where the robot is: odom, in the frame of the goals; pose, a localisation's topic; "
            "tf, in any frame that tf connects with that of odom",
        )
        self._transforms: Transforms | None = None
        """access to tf, once it is needed"""
        autostart = read_parameter(self, "autostart", False, "configure and activate at start")
        refuse_unknown(self, known_topics(self._robot_types, self._robot_type), ["cmd_vel"])

        self._diagnostics = Diagnostics(self)
        self._commands = Commands(self, stamped, self._diagnostics.renew)
        self._diagnostics.commands = self._commands
        self._loop: ControlLoop | None = None
        """None while unconfigured"""
        self._orders: dict[str, Any] = {}
        """topic → the last goal or targets received, whatever the policies since have listened to"""
        self._tell_of(None, None)
        self._candidate: tuple[Controller, Inputs] | None = None
        """what a new value of the parameter 'policy' would drive by"""
        self.add_on_set_parameters_callback(self._validate_policy)
        self.add_post_set_parameters_callback(self._swap_policy)
        if autostart and self.trigger_configure() == _SUCCESS:
            self.trigger_activate()

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], *qos: Any, **options: Any
    ) -> Any:
        """As for any node, but rclpy's own one of ``/clock`` gets no times that are none: they would end the node."""
        if kind is Clock:
            callback = partial(self._hear_clock, callback)
        return super().create_subscription(kind, topic, callback, *qos, **options)

    def _hear_clock(self, set_time: Callable[[Clock], None], message: Clock) -> None:
        seconds, nanoseconds = message.clock.sec, message.clock.nanosec
        trouble = ""
        if seconds >= 0 and nanoseconds < 1_000_000_000:
            set_time(message)
        else:
            trouble = f"/clock says {seconds} s and {nanoseconds} ns, which is no time; check what publishes it"
        if self._loop:
            self._loop.trust_clock(trouble)

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and check the policy, subscribe to its inputs; fails with a reason, staying unconfigured."""
        try:
            controller = self._load(self.get_parameter("policy").value)
            inputs = self._new_inputs(controller)
            inputs.keep_orders(self._orders)
        except KdmarlError as error:
            return self._refuse(str(error))
        except Exception:  # rclpy would drop it without a word
            return self._refuse(f"internal error while configuring: {traceback.format_exc()}")
        self._loop = ControlLoop(self, controller, inputs, self._publish, self._diagnostics, self._on_sensor)
        self._tell_of(controller, inputs)
        self._diagnostics.set(WARN, "inactive")
        self.get_logger().info(f"policy {controller.policy.path}, sha256 {controller.policy.sha256[:12]}")
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the gate and start the control loop."""
        self._commands.activate()
        super().on_activate(state)
        if self._loop:
            self._loop.start()
        return _SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot and close the gate."""
        self._stop("inactive")
        self._commands.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the policy and the inputs."""
        self._release("unconfigured")
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot for good."""
        self._release("shut down")
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot and go back to unconfigured."""
        self._release("unconfigured after an internal error; see the log", ERROR)
        return super().on_error(state)

    def close(self) -> None:
        """Stop the robot, see that the stop has arrived, and end the node."""
        driving = self._loop is not None and not self._loop.standing
        try:
            self._release("shut down")
            end = time.monotonic() + ARRIVAL_TIME
            # Bit by bit: the call keeps all threads waiting, and other robots of this process have to stop, too.
            while driving and time.monotonic() < end and not self._commands.arrived():
                time.sleep(0.01)
        finally:
            self.destroy_node()

    def _refuse(self, reason: str) -> TransitionCallbackReturn:
        self._release(f"unconfigured: {reason}", ERROR)
        self.get_logger().error(reason)
        return _FAILURE

    def _stop(self, message: str, level: bytes = WARN) -> None:
        if self._loop:
            self._loop.stop()
        self._diagnostics.set(level, message)

    def _release(self, message: str, level: bytes = WARN) -> None:
        if self._loop:
            self._loop.stop()
            self._forget(self._loop.inputs)
        self._loop = None
        self._tell_of(None, None)
        self._diagnostics.set(level, message)

    def _forget(self, inputs: Inputs) -> None:
        """End the inputs, but keep where they said to go."""
        self._orders |= inputs.orders
        inputs.destroy()

    def _tell_of(self, controller: Controller | None, inputs: Inputs | None) -> None:
        self._diagnostics.policy = controller.policy if controller else None
        self._diagnostics.guard = controller.guard if controller else None
        self._diagnostics.endpoints = [self._commands.endpoint, *(inputs.endpoints if inputs else [])]

    def _publish(self, forward: float, left: float, yaw_rate: float) -> None:
        """Command a speed forward and to the left [m/s] and a yaw rate [rad/s]."""
        self._commands.publish(forward, left, yaw_rate)
        if (forward or left or yaw_rate) and self._commands.look() and self._loop:
            self._loop.pause("standing before commands of another type, which the base subscribes to")

    def _read_choice(self, name: str, values: tuple[str, ...], description: str) -> str:
        """A parameter that is one of some ``values``, by default the first."""
        value: str = read_parameter(self, name, values[0], description)
        if value not in values:
            raise KdmarlError(f"parameter '{name}' is '{value}'; give {', '.join(values[:-1])} or {values[-1]}")
        return value

    def _localise(self) -> Localisation:
        def transforms() -> Transforms:
            self._transforms = self._transforms or Transforms(self)
            return self._transforms

        return localisation(self._pose_source, self, transforms, self._timeout)

    # Policy

    def _declare_policy(self) -> None:
        text = "policy file (.onnx); set while configured, it replaces the policy between two cycles"
        try:
            self.declare_parameter("policy", "", ParameterDescriptor(description=text))
        except InvalidParameterTypeException:
            raise KdmarlError("parameter 'policy' is not text; give the path of a policy file") from None

    def _load(self, path: str) -> Controller:
        """A controller for the policy file at ``path`` on this robot.

        Raises:
            KdmarlError: a parameter is missing or wrong, or the policy is not for this robot.
        """
        for name, value in (
            ("policy", path),
            ("robot_type", self._robot_type),
            ("robot_types", self._robot_types),
        ):
            if not value:
                raise KdmarlError(f"parameter '{name}' is empty; set it")
        types = load_robot_types(self._robot_types)
        if self._robot_type not in types:
            raise KdmarlError(
                f"robot_type '{self._robot_type}' is not in {self._robot_types} ({', '.join(sorted(types))}); "
                "add it there"
            )
        spacing = SENSOR_SPACING if self._on_sensor else 1.0
        return Controller(Policy.load(path), self._robot_type, types[self._robot_type], self._scan_guard, spacing)

    def _validate_policy(self, parameters: list[Parameter]) -> SetParametersResult:
        """Load a new policy beside the one that drives; refuse the parameter if it cannot be used."""
        path = _policy_path(parameters)
        if path is not None and self._loop:
            try:
                controller = self._load(path)
                self._candidate = controller, self._inputs_for(controller, self._loop.inputs)
            except KdmarlError as error:
                return SetParametersResult(successful=False, reason=str(error))
            except Exception as error:
                self.get_logger().error(f"internal error while loading {path}: {traceback.format_exc()}")
                return SetParametersResult(successful=False, reason=f"internal error: {error!r}; see the log")
        return SetParametersResult(successful=True)

    def _inputs_for(self, controller: Controller, now: Inputs) -> Inputs:
        """The inputs ``now`` in use if the controller needs the same topics, else others.

        Raises:
            KdmarlError: a QoS override does not fit a topic that only the new ones have.
        """
        needed = required_topics(controller.terms, controller.sensors)
        if needed.keys() == now.topics and controller.sensors == now.sensors:
            return now
        return self._new_inputs(controller)

    def _new_inputs(self, controller: Controller) -> Inputs:
        orders = first_orders(self._goal, self._targets, self._goal_frame)
        return Inputs(self, controller.terms, controller.sensors, self._timeout, orders, self._localise)

    def _swap_policy(self, parameters: list[Parameter]) -> None:
        """Drive by the policy that was validated; callbacks never overlap, so this is between two cycles."""
        if _policy_path(parameters) is None or self._candidate is None or self._loop is None:
            return
        (controller, inputs), self._candidate = self._candidate, None
        if inputs is not self._loop.inputs:
            self._forget(self._loop.inputs)
            inputs.keep_orders(self._orders)
        inputs.serve(controller.terms)
        self._loop.swap(controller, inputs)
        self._tell_of(controller, inputs)
        self.get_logger().info(f"policy {controller.policy.path}, sha256 {controller.policy.sha256[:12]} from now on")


def _policy_path(parameters: list[Parameter]) -> str | None:
    """The new value of the parameter 'policy'; None when others are set, such as rclpy's own for a subscription."""
    return next((parameter.value for parameter in reversed(parameters) if parameter.name == "policy"), None)


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal of ``signals.STOPS`` (exit code 0); 2 on bad parameters, 1 on an internal error."""
    stop = StopSignal()
    node = None
    try:
        initialise(args)
        node = PolicyNode()
        stop.spin(node)
        return 0
    except KdmarlError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    finally:
        if node is not None:
            node.close()
        rclpy.try_shutdown()


def command() -> NoReturn:
    """The console script: :func:`main`, then the end of the process."""
    leave(main())


if __name__ == "__main__":
    command()
