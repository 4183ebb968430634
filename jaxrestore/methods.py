"""The methods by name: what makes each, what it needs of an operator, what steers it, what it costs.

Everything that the library, its command line and its benchmarks know of a method beside its module stands in its row.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks, costs, schedules
from jaxrestore.costs import Evaluations as Evaluations
from jaxrestore.costs import Settings
from jaxrestore.degradation import Degradation
from jaxrestore.noise import NoNoise
from jaxrestore.operators import Operator
from jaxrestore.operators._base import NEEDS, Needs, unmet
from jaxrestore.samplers import (
    Sampler,
    daps,
    ddnm,
    ddpg,
    ddrm,
    diffpir,
    dpps,
    dps,
    mean_of,
    mmps,
    over_grids,
    pdpps,
    pigdm,
    pspgd,
    reddiff,
    repaint,
    spgd,
)
from jaxrestore.samplers.multigrid import grid_levels
from jaxrestore.samplers.pspgd import split_budget
from jaxrestore.samplers.starts import FirstImage, image_start, upsample

REFERENCE_SIDE = 256  # pixels; settings that depend on the size of the image are stated for this side
SHARED_SETTINGS = ("grids", "mean_of")  # what `build` takes beside the arguments of a method's factory


Derived = Callable[[Callable[[], float]], dict[str, Any]]  # what gives ||A||_2 -> settings that follow from it


def _nothing(norm: Callable[[], float]) -> dict[str, Any]:
    """The defaults suit every operator."""
    return {}


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of `METHODS`."""

    factory: Callable[..., Sampler]
    weight: str | None  # the setting that says how much the measurement counts; None: it counts as its noise allows
    evaluations_of: Callable[[Settings], Evaluations]  # complete settings of the factory -> cost
    needs: Needs = "any"  # what it asks of the operator
    length: str = "num_steps"  # the setting that makes a run longer
    weight_grows_with_side: bool = False  # see `at_side`
    remedy: str | None = None  # what helps when a run diverges; None: no setting does
    part: Callable[[Settings, float, float, FirstImage | None], Settings] | None = None  # see `over_grids`
    derived: Derived | None = _nothing  # settings for any network; None: nothing tells what `weight` should be
    # Setting -> whether it changes nothing, given the complete settings and the operator.
    idle_where: Mapping[str, Callable[[Settings, Operator], bool]] = dataclasses.field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        """Rows are pickled by name, for what they hold may be functions without one."""
        return get, (self.factory.__name__,)

    @property
    def defaults(self) -> dict[str, Any]:
        """Names and defaults of all settings."""
        return self.defaults_of_factory | dict.fromkeys(SHARED_SETTINGS, 1)

    @property
    def defaults_of_factory(self) -> dict[str, Any]:
        """Names and defaults of the factory's arguments."""
        return {name: p.default for name, p in inspect.signature(self.factory).parameters.items()}

    def complete(self, settings: Settings) -> dict[str, Any]:
        """The settings with the defaults of those that are not given; functions and None are left out."""
        complete = {**self.defaults, **settings}
        return {name: v for name, v in complete.items() if v is not None and not callable(v)}

    def check_settings(self, settings: Settings) -> None:
        """Raise `TypeError` if the method has no such setting."""
        _checks.known(self.factory.__name__, "setting", settings, tuple(self.defaults))

    @property
    def uses_noise(self) -> bool:
        """Whether the method is told how noisy a measurement is; the others give the same whatever the noise."""
        return "noise_std" in self.defaults

    def idle(self, settings: Settings, operator: Operator) -> list[str]:
        """Names of the settings that change nothing beside the others for an operator.

        Example:
          >>> jr.METHODS["spgd"].idle({"warmup_steps": 1}, degradation.operator)  # it restarts at each level
          ['momentum']
        """
        complete = {**self.defaults, **settings}
        return [name for name, is_idle in self.idle_where.items() if is_idle(complete, operator)]

    def build(self, **settings: Any) -> Sampler:
        """The sampler.

        Args:
          **settings: Arguments of the factory; `mean_of`, the number of runs whose mean is the answer; and `grids`, on
            how many sizes of the picture, each half the next, the sampler works one after the other (see
            `jaxrestore.samplers.over_grids`).

        Raises:
          ValueError: If a value is out of range, or the method cannot begin on a reduced picture.
          TypeError: If the method has no such setting.

        Example:
          >>> jr.METHODS["dps"].build(num_steps=50, mean_of=2).num_steps
          50
        """
        self.check_settings(settings)
        num_runs, num_grids = settings.pop("mean_of", 1), settings.pop("grids", 1)
        if num_grids == 1:
            return mean_of(self.factory(**settings), num_runs)
        if self.part is None:
            able = ", ".join(name for name, row in METHODS.items() if row.part)
            name = self.factory.__name__
            raise ValueError(f"grids is {num_grids}, but {name} works on one grid only; others are {able}")

        return mean_of(over_grids(functools.partial(_on_grid, self, settings), num_grids), num_runs)

    def refusal(self, operator: Operator) -> str | None:
        """Why the method cannot treat an operator, as the rest of a sentence that begins with its name; or None."""
        reason = unmet(self.needs, operator)
        return reason and f"needs a {NEEDS[self.needs]}, and {reason}"

    def recommended(self, norm: Callable[[], float], given: Container[str] = ()) -> dict[str, Any]:
        """Settings for an operator and any network, beside the defaults: derived, not tuned.

        Args:
          norm: Gives ||A||_2, the operator's norm; called only if the method needs it.
          given: Names of settings that the caller chooses.

        Raises:
          ValueError: If nothing tells how far the method should step, and the caller does not; or the norm, from which
            it would follow, is 0.
        """
        if self.derived is not None:
            return self.derived(norm)
        if self.weight is None or self.weight not in given:
            raise ValueError(
                f"no settings of {self.factory.__name__} are recommended: how far it should step depends on operator, "
                f"image and network, and nothing tells it; set {self.weight}, take the paper's settings 'published', "
                "or the method pspgd, whose step is 1"
            )
        return {}

    def evaluations(self, settings: Settings) -> Evaluations:
        """Network evaluations for one image with some settings changed from their defaults."""
        complete = {**self.defaults, **settings}
        num_runs, num_grids = (complete.pop(name) for name in ("mean_of", "grids"))
        if num_grids <= 1 or self.part is None:
            return self.evaluations_of(complete).times(num_runs)
        each = [self.evaluations_of(self.part(complete, *grid_levels(g, num_grids), None)) for g in range(num_grids)]
        shares = [num_runs * 0.25**g for g in range(num_grids)]  # a picture of half the sides costs a quarter
        return Evaluations(*(math.ceil(np.dot(shares, counts)) for counts in zip(*each, strict=True)))

    def at_side(self, settings: Settings, image_shape: Sequence[int], *, inverse: bool = False) -> dict[str, Any]:
        """Settings stated for images of `REFERENCE_SIDE` pixels a side, for another shape; or `inverse`.

        Samplers that move by `scale` along the gradient of a norm, whose length does not depend on the number of
        pixels, must move further to move each pixel alike: their weight grows with the square root of that number. The
        others' steps grow by themselves.
        """
        factor = (image_shape[0] * image_shape[1]) ** 0.5 / REFERENCE_SIDE
        factor = 1.0 / factor if inverse else factor
        grows = {self.weight} if self.weight_grows_with_side else set()
        return {name: value * factor if name in grows else value for name, value in settings.items()}

    def at_gain(self, settings: Settings, gain: Callable[[], float], *, inverse: bool = False) -> dict[str, Any]:
        """Settings stated for one operator, for one whose norm is `gain()` times as large; or `inverse`.

        What `recommended` derives from the norm changes as it would there: a rate that suits super-resolution by 4
        diverges by 2, where the norm is twice as large.
        """
        stated = {} if self.derived is None else self.derived(lambda: 1.0)
        if not stated.keys() & settings.keys():
            return dict(settings)
        assert self.derived is not None
        wanted = self.derived(gain)
        stated, wanted = (wanted, stated) if inverse else (stated, wanted)
        return {
            name: value * (wanted[name] / stated[name]) if name in stated else value for name, value in settings.items()
        }


def _on_grid(
    method: Method, settings: Settings, *, sigma_max: float, sigma_min: float, start: FirstImage | None
) -> Sampler:
    """The method's sampler for a part of the noise levels."""
    assert method.part is not None
    return method.factory(**method.part({**method.defaults_of_factory, **settings}, sigma_max, sigma_min, start))


def _annealed(settings: Settings, sigma_max: float, sigma_min: float, start: FirstImage | None) -> Settings:
    """Settings of a sampler on noise levels, for a part of them."""
    first, last = min(settings["sigma_max"], sigma_max), max(settings["sigma_min"], sigma_min)
    if not first > last and settings["sigma_max"] > settings["sigma_min"]:
        limits = [f"below {sigma_max:g}"] * (sigma_max < math.inf) + [f"above {sigma_min:g}"] * (sigma_min > 0)
        raise ValueError(
            f"sigma_max is {settings['sigma_max']:g} and sigma_min {settings['sigma_min']:g}, which leaves nothing to "
            f"the grid whose levels lie {' and '.join(limits)}; expected levels there too, or grids=1"
        )
    return {**settings, "sigma_max": first, "sigma_min": last, "start": start}


def _reverse(settings: Settings, sigma_max: float, sigma_min: float, start: FirstImage | None) -> Settings:
    """Settings of a sampler on the steps of a reverse process, for a part of them."""
    settings = dict(settings)
    spacing = settings.pop("spacing", "linspace")
    whole = schedules.as_schedule(settings["num_steps"], spacing)
    settings["num_steps"] = schedules.part_of(whole, spacing=spacing, sigma_max=sigma_max, sigma_min=sigma_min)
    if sigma_min > 0 and "end" in settings:
        settings["end"] = "data"  # a part hands on its estimate, not a state with noise
    return settings if start is None else {**settings, "start": image_start(start)}


def _half_the_stable_step(norm: Callable[[], float]) -> dict[str, Any]:
    """Gradient descent on ||A x - y||^2 is stable below 1 / ||A||^2; a denoiser does not stretch the gradient."""
    return {"learning_rate": 0.5 / _positive(norm()) ** 2}


def _langevin_step(norm: Callable[[], float]) -> dict[str, Any]:
    """Half of 2 tau^2 / ||A||^2, below which the Langevin steps are stable."""
    tau = inspect.signature(daps).parameters["tau"].default
    return {"learning_rate": (tau / _positive(norm())) ** 2}


def _positive(norm: float) -> float:
    """The norm of an operator that measures something."""
    if not norm > 0:
        raise ValueError(f"the operator's norm is {norm:g}: it measures nothing, so no step size follows from it")
    return norm


def _is_linear(settings: Settings, operator: Operator) -> bool:
    return operator.linear


def _measures_no_image(settings: Settings, operator: Operator) -> bool:
    y = jax.ShapeDtypeStruct(operator.measurement_shape, jnp.float32)
    return jax.eval_shape(lambda y: upsample(Degradation(operator, NoNoise()), y), y) is None


METHODS: Mapping[str, Method] = {
    "spgd": Method(
        spgd,
        "learning_rate",
        costs.spgd,
        remedy="lower learning_rate",
        part=_annealed,
        derived=_half_the_stable_step,
        idle_where={"momentum": lambda settings, operator: settings["warmup_steps"] == 1},
    ),
    "pspgd": Method(
        pspgd,
        "learning_rate",
        costs.pspgd,
        length="evaluations",
        remedy="lower learning_rate",
        part=_annealed,
        idle_where={
            "solver_steps": _is_linear,
            "detail": lambda settings, operator: (
                split_budget(settings["evaluations"], 0.0) == split_budget(settings["evaluations"], 1.0)
            ),
        },
    ),
    "dpps": Method(
        dpps,
        "scale",
        costs.one_gradient_each,
        weight_grows_with_side=True,
        remedy="lower scale",
        part=_reverse,
        derived=None,
        idle_where={"aligned": _measures_no_image},
    ),
    "pdpps": Method(
        pdpps,
        "scale",
        costs.pdpps,
        remedy="lower scale",
        part=_annealed,
        idle_where={"solver_steps": _is_linear, "aligned": _measures_no_image},
    ),
    "dps": Method(dps, "scale", costs.dps, weight_grows_with_side=True, remedy="lower scale", derived=None),
    "diffpir": Method(diffpir, "strength", costs.no_gradients, "linear", remedy="raise strength", part=_reverse),
    "ddnm": Method(ddnm, None, costs.no_gradients, "linear"),
    "ddpg": Method(ddpg, "gamma", costs.no_gradients, "linear", part=_reverse),
    "ddrm": Method(ddrm, "eta_b", costs.no_gradients, "svd"),
    "pigdm": Method(pigdm, "scale", costs.one_gradient_each, "linear", remedy="lower scale", part=_reverse),
    "mmps": Method(mmps, "scale", costs.mmps, remedy="lower scale"),
    "daps": Method(daps, "learning_rate", costs.daps, remedy="lower learning_rate", derived=_langevin_step),
    "reddiff": Method(reddiff, "strength", costs.no_gradients, remedy="lower learning_rate"),
    "repaint": Method(
        repaint,
        None,
        costs.repaint,
        "svd",
        idle_where={"jump_length": lambda settings, operator: settings["jump_repeats"] == 1},
    ),
}
"""The method's name, which is its factory's, to its row."""


def get(name: str) -> Method:
    """A row by name.

    Raises:
      ValueError: If there is no such method.
    """
    _checks.one_of("method", name, tuple(METHODS))
    return METHODS[name]


def able(operator: Operator) -> list[str]:
    """Names of the methods that can treat an operator."""
    return [name for name, method in METHODS.items() if method.refusal(operator) is None]
