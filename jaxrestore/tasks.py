"""Restoration tasks by name: degradations, what their measurements are like, and sampler settings for them.

Everything that the library, its command line and its benchmarks know of a task beside its operator stands in its row.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from jaxrestore import _checks, geometry, methods, operators, published, simple_answers, task_operators
from jaxrestore.degradation import Degradation
from jaxrestore.geometry import Options, Shape
from jaxrestore.methods import METHODS
from jaxrestore.noise import Noise, NoNoise
from jaxrestore.operators import neural_blur
from jaxrestore.operators.norm import operator_norm
from jaxrestore.samplers import Sampler
from jaxrestore.settings import COMMON, SETTINGS, TASK_SETTINGS


@dataclasses.dataclass(frozen=True)
class TaskDefinition:
    """A row of `TASKS`."""

    name: str
    description: str
    build: Callable[..., operators.Operator]  # (image_shape, key, **options) -> operator
    noise_std: float  # usual noise, on the [-1, 1] scale
    # The shape of the image, from that of its measurement.
    image_shape: Callable[[Sequence[int], Options], Shape] = geometry.same_shape
    multiple: Callable[[Options], int] = lambda options: 1  # what the image's sides must be multiples of
    stored: Literal["colour", "grey", "array"] = "colour"  # how a measurement is kept on disk: as a picture, or .npy
    simple_answer: Callable[[Any, np.ndarray], np.ndarray | None] = simple_answers.unchanged  # (operator, y)
    gain: Callable[[Any], float] = task_operators.usual_gain  # ||A|| of an operator over that with the usual options
    drawn: str | None = None  # the option, an array, that the key draws unless it is given
    noise: Callable[[Any, float], Noise] = task_operators.gaussian_noise  # (operator, its strength) -> noise
    instead: str | None = None  # as `drawn`, of tasks that compute what is not given
    drawn_by: tuple[str, ...] = ()  # options that say how it is drawn, or computed, and nothing else
    method: str = "pspgd"  # what restores it unless another method is asked for
    damage: str | None = None  # how people call what it undoes in photographs; None where it is of use elsewhere
    told: Callable[[str | os.PathLike[str]], Options] = task_operators.nothing_told  # by the file of a measurement
    hint: str = ""  # the words on the command line that go with the damage, beside the task's name

    @property
    def options(self) -> dict[str, Any]:
        """Names and defaults of the options that `task` takes."""
        return dict(self.build.__kwdefaults__ or {})

    def complete(self, options: Options) -> dict[str, Any]:
        """The options with the defaults of those that are not given.

        Raises:
          TypeError: If there is no such option.
        """
        _checks.known(f"task {self.name!r}", "option", options, tuple(self.options))
        return {**self.options, **options}

    def idle(self, options: Options) -> list[str]:
        """Those of the options that change nothing beside the others: how to make what is given need not be said."""
        made = self.drawn or self.instead
        is_given = made is not None and options.get(made) is not None
        return [name for name in self.drawn_by if name in options] if is_given else []

    @property
    def settings(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Tuned set -> method -> all settings for images of 256x256, those that are the factory's included."""
        return {name: {m: row.complete(self.changes(m, name)) for m, row in METHODS.items()} for name in COMMON}

    def changes(self, method: str, settings: str) -> dict[str, Any]:
        """What a tuned set changes of the method's defaults, for images of 256x256."""
        return {**COMMON[settings].get(method, {}), **TASK_SETTINGS[settings].get(self.name, {}).get(method, {})}


_ROWS = (
    TaskDefinition(
        "super_resolution",
        "enlarge a picture that was reduced by an integer factor",
        task_operators.super_resolution,
        0.01,
        image_shape=geometry.enlarged_shape,
        multiple=geometry.factor,
        simple_answer=simple_answers.enlarged,
        gain=task_operators.reduction_gain,
        damage="too small",
        hint="--option factor=4",
    ),
    TaskDefinition(
        "gaussian_deblur",
        "sharpen a picture blurred by a Gaussian",
        task_operators.gaussian_deblur,
        0.01,
        instead="kernel",
        drawn_by=("kernel_size", "std"),
        damage="out of focus",
        hint="--option std=2",
    ),
    TaskDefinition(
        "motion_deblur",
        "sharpen a picture blurred by a moving camera",
        task_operators.motion_deblur,
        0.01,
        drawn="kernel",
        drawn_by=("kernel_size", "intensity"),
        damage="shaken",
        hint="--kernel KERNEL",
    ),
    TaskDefinition(
        "inpainting_random",
        "fill in pixels missing at random",
        task_operators.inpainting_random,
        0.01,
        simple_answer=simple_answers.interpolated,
        drawn="mask",
        drawn_by=("rate",),
        damage="scratched or with holes",
        hint="--mask MASK",
    ),
    TaskDefinition(
        "inpainting_box",
        "fill in a missing box",
        task_operators.inpainting_box,
        0.05,
        simple_answer=simple_answers.interpolated,
        drawn="mask",
        drawn_by=("box", "margin"),
    ),
    TaskDefinition(
        "phase_retrieval",
        "recover a picture from Fourier amplitudes (keep the best of 4 samples)",
        task_operators.phase_retrieval,
        0.05,
        image_shape=geometry.unpadded_shape,
        stored="array",
        simple_answer=simple_answers.none,
        method="spgd",
    ),
    TaskDefinition(
        "nonlinear_deblur",
        "undo a neural model of camera shake (needs converted weights)",
        task_operators.nonlinear_deblur,
        0.05,
        multiple=lambda options: neural_blur.STRIDE,
        drawn="code",
        drawn_by=("intensity",),
        method="spgd",
    ),
    TaskDefinition(
        "high_dynamic_range",
        "recover what over-exposure clipped",
        task_operators.high_dynamic_range,
        0.05,
        simple_answer=simple_answers.darkened,
        gain=task_operators.exposure_gain,
        damage="burnt out",
        method="spgd",
    ),
    TaskDefinition(
        "denoising",
        "remove Gaussian noise of known strength",
        task_operators.denoising,
        0.2,
        damage="noisy",
        hint="--noise 0.1",
    ),
    TaskDefinition(
        "colorization",
        "colour a grey picture",
        task_operators.colorization,
        0.01,
        image_shape=geometry.coloured_shape,
        stored="grey",
        simple_answer=simple_answers.grey,
        damage="grey",
    ),
    TaskDefinition(
        "jpeg",
        "remove the artefacts of JPEG compression",
        task_operators.jpeg,
        0.0,
        multiple=lambda options: 16 if options["subsampling"] else 8,
        damage="blocky",
        hint="--option quality=20",
        told=task_operators.jpeg_told,
        noise=task_operators.jpeg_noise,
    ),
    TaskDefinition(
        "demosaicing",
        "colour what a sensor records behind a Bayer filter",
        task_operators.demosaicing,
        0.01,
        image_shape=geometry.coloured_shape,
        stored="grey",
        simple_answer=simple_answers.grey,
    ),
    TaskDefinition(
        "deconvolution",
        "sharpen a picture blurred by a known point spread function, under one of three boundaries",
        task_operators.deconvolution,
        0.01,
        drawn="kernel",
        drawn_by=("kernel_size", "intensity"),
    ),
    TaskDefinition("dehazing", "remove a haze of known density and colour", task_operators.dehazing, 0.01),
    TaskDefinition(
        "compressed_sensing",
        "recover a picture from some of its Fourier or Hadamard coefficients",
        task_operators.compressed_sensing,
        0.01,
        stored="array",
        simple_answer=simple_answers.back_projected,
        drawn="mask",
        drawn_by=("rate",),
    ),
)
TASKS: dict[str, TaskDefinition] = {row.name: row for row in _ROWS}
"""The task's name to its row."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A degradation for images of one shape, with the settings recommended for it."""

    definition: TaskDefinition
    degradation: Degradation

    @property
    def name(self) -> str:
        """The name of its row in `TASKS`."""
        return self.definition.name

    @property
    def settings(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Set -> method -> what `for_method` says, where it says something."""
        found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in SETTINGS}
        for name in SETTINGS:
            for method in methods.able(self.degradation.operator):
                try:
                    found[name][method] = self.for_method(method, name)
                except ValueError:  # none are published, or recommended
                    continue
        return found

    def sampler(self, method: str | None = None, settings: str = "photo", **overrides: Any) -> Sampler:
        """The method's sampler with the settings of a set, some of them replaced.

        Args:
          method: One of `jaxrestore.METHODS`: "spgd", "dpps", "dps", ...; None takes the one that suits the task.
          settings: "photo", tuned for the bundled prior; "recommended", derived from the operator, for any network;
            "published", what the method's paper takes, or "published/DATASET" where data sets differ (see
            `jaxrestore.published.find`).
          **overrides: Keyword arguments of the method's factory, and `mean_of` (see `Method.build`).

        Raises:
          ValueError: If method or set is unknown, the method cannot do this task, or the set has nothing for it.
          TypeError: If the method has no such setting.
        """
        method = self.definition.method if method is None else method
        return methods.get(method).build(**{**self.for_method(method, settings, given=overrides), **overrides})

    def for_method(self, method: str, settings: str = "photo", *, given: Container[str] = ()) -> dict[str, Any]:
        """What a set changes of the method's defaults, at this size.

        Arguments and errors are those of `sampler`; `given` names the settings that the caller chooses anyway.
        """
        row = methods.get(method)
        name, _, which = settings.partition("/")
        _checks.one_of("settings", name if name == "published" else settings, SETTINGS)
        if reason := row.refusal(self.degradation.operator):
            able = ", ".join(methods.able(self.degradation.operator))
            raise ValueError(f"{method} cannot do {self.name}: it {reason}; expected one of {able}")
        if name == "published":  # of networks that know one size, which these are for
            noise = self.degradation.noise
            std = 0.0 if isinstance(noise, NoNoise) else getattr(noise, "std", None)
            return published.settings(method, self.name, which, noise_std=None if std is None else float(std))
        if name == "recommended":
            return row.recommended(lambda: self.operator_norm, given)
        return self.adapted(method, self.definition.changes(method, settings))

    def adapted(self, method: str, settings: Mapping[str, Any], *, inverse: bool = False) -> dict[str, Any]:
        """A method's settings, stated for 256x256 and the usual options, as they are for this task; or `inverse`.

        Tuned sets and the files of `jaxrestore tune` are stated so.
        """
        row = methods.get(method)
        settings = row.at_side(settings, self.degradation.image_shape, inverse=inverse)
        return row.at_gain(settings, lambda: self.definition.gain(self.degradation.operator), inverse=inverse)

    @functools.cached_property
    def operator_norm(self) -> float:
        """||A||_2, the operator's largest singular value, near a grey image where it is not linear."""
        return operator_norm(self.degradation.operator)

    def simple_answer(self, y: np.ndarray) -> np.ndarray | None:
        """What one would try first with one measurement, (H, W, C); None where there is nothing simple to try."""
        return self.definition.simple_answer(self.degradation.operator, y)


def task(
    name: str, *, image_shape: Shape, noise_std: float | None = None, key: jax.Array | None = None, **options: Any
) -> Task:
    """A named task for images of one shape.

    Args:
      name: A key of `TASKS`.
      image_shape: (H, W, C) of the restored image.
      noise_std: Standard deviation of the measurement noise on the [-1, 1] scale; None takes the task's usual value.
      key: Draws the mask or kernel of the tasks that have a random one; None takes `jax.random.key(0)`.
      **options: The task's own, e.g. `factor=4`, `std=3.0`, `rate=0.8`, `mask=...`; see `TASKS[name].options`.

    Returns:
      The task: `.degradation`, `.settings` and `.sampler(method)`.

    Raises:
      ValueError: If the name is unknown, a value is out of range, a mask is for images of another shape, or an option
        changes nothing: how to make a mask or kernel that is given.
      TypeError: If the task has no such option.

    Example:
      >>> jr.task("super_resolution", image_shape=(64, 64, 3), factor=2).degradation.measurement_shape
      (32, 32, 3)
    """
    _checks.one_of("task", name, tuple(TASKS))
    definition = TASKS[name]
    shape = _checks.image_shape("image_shape", image_shape)
    _checks.known(f"task {name!r}", "option", options, tuple(definition.options))
    if idle := definition.idle(options):
        made = definition.drawn or definition.instead
        raise ValueError(
            f"{', '.join(idle)} of {name} say how to make a {made}, and change nothing where one is given; "
            "leave them out"
        )
    std = definition.noise_std if noise_std is None else noise_std
    _checks.not_negative("noise_std", std)
    operator = definition.build(shape, jax.random.key(0) if key is None else key, **options)
    if operator.image_shape != shape:  # a mask of the user's tells the shape itself
        raise ValueError(
            f"{definition.drawn} is for images of shape {operator.image_shape}, expected image_shape = {shape}"
        )
    return Task(definition, Degradation(operator, definition.noise(operator, std)))
