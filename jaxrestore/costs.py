"""What restoring one image costs with each method, in evaluations of the network."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxrestore import schedules
from jaxrestore.samplers.pdpps import schedule_between
from jaxrestore.samplers.pspgd import split_budget

Settings = Mapping[str, Any]


class Evaluations(NamedTuple):
    """The cost of restoring one image, in evaluations at its full size."""

    forward: int  # passes of the network
    gradients: int = 0  # vector-Jacobian products through it, each worth about one pass

    def times(self, count: float) -> "Evaluations":
        """The cost of `count` runs, rounded up."""
        return Evaluations(math.ceil(count * self.forward), math.ceil(count * self.gradients))


def _steps(settings: Settings) -> int:
    return schedules.as_schedule(settings["num_steps"]).num_steps


def one_gradient_each(settings: Settings) -> Evaluations:
    """A pass and a gradient through it at each step."""
    return Evaluations(_steps(settings), _steps(settings))


def no_gradients(settings: Settings) -> Evaluations:
    """A pass at each step."""
    return Evaluations(_steps(settings))


def spgd(settings: Settings) -> Evaluations:
    """A pass and a gradient for each gradient step."""
    count = settings["num_steps"] * settings["warmup_steps"]
    return Evaluations(count, count)


def pspgd(settings: Settings) -> Evaluations:
    """That of the gradient steps that `split_budget` makes of the evaluations."""
    num_steps, warmup_steps = split_budget(settings["evaluations"], settings["detail"])
    return spgd({"num_steps": num_steps, "warmup_steps": warmup_steps})


def pdpps(settings: Settings) -> Evaluations:
    """A pass and a gradient for each step that there is between the levels."""
    count = schedule_between(settings["num_steps"], settings["sigma_max"], settings["sigma_min"]).num_steps
    return Evaluations(count, count)


def dps(settings: Settings) -> Evaluations:
    """A pass and a gradient for each gradient step."""
    return one_gradient_each(settings).times(settings["warmup_steps"])


def mmps(settings: Settings) -> Evaluations:
    """A pass, and a gradient for each application of the system."""
    # Both solvers apply the system once an iteration, conjugate gradients once to start with; the guidance is one more.
    others = {"cg": 2, "gmres": 1}[settings["solver"]]
    return Evaluations(_steps(settings), _steps(settings) * (settings["solver_steps"] + others))


def daps(settings: Settings) -> Evaluations:
    """A pass for each step of the inner differential equation."""
    return Evaluations(settings["num_steps"] * settings["ode_steps"])


def repaint(settings: Settings) -> Evaluations:
    """A pass at each step, those that are gone again included."""
    length, repeats = settings["jump_length"], settings["jump_repeats"]
    return Evaluations(len(schedules.time_travel(_steps(settings), length=length, repeats=repeats)))
