"""Restoration tasks by name: degradations with their usual settings, and sampler settings for them.

Names for the command line live here. Settings come in two sets. "published": what the methods' papers and codes use
with the networks of FFHQ-256 and ImageNet-256. "photo": for the bundled prior, a far smaller network, with a number of
steps that suits a CPU; tuned on photographs of its validation set for super-resolution, Gaussian deblurring and random
inpainting, roughly for motion deblurring, denoising and DPS's box inpainting, and carried over to the rest by the size
of their operators.
"""

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxrestore import _checks, operators
from jaxrestore.degradation import Degradation
from jaxrestore.noise import GaussianNoise, NoNoise
from jaxrestore.samplers import Sampler, daps, ddnm, ddrm, diffpir, dpps, dps, mmps, pigdm, reddiff, spgd

METHODS: Mapping[str, Callable[..., Sampler]] = {
    "spgd": spgd,
    "dpps": dpps,
    "dps": dps,
    "diffpir": diffpir,
    "ddnm": ddnm,
    "ddrm": ddrm,
    "pigdm": pigdm,
    "mmps": mmps,
    "daps": daps,
    "reddiff": reddiff,
}
LINEAR_ONLY = ("diffpir", "ddnm", "ddrm", "pigdm")
SETTINGS = ("published", "photo")
SHARED_SETTINGS = ("self_ensemble", "mean_of")  # of every method; see `build_sampler`

Shape = tuple[int, int, int]


def _super_resolution(shape: Shape, key: jax.Array, *, factor: int = 4, kernel: str = "bicubic"):
    return operators.SuperResolution(shape, factor, kernel=kernel)


def _gaussian_deblur(shape: Shape, key: jax.Array, *, kernel_size: int = 61, std: float = 3.0):
    return operators.GaussianBlur(shape, kernel_size, std)


def _motion_deblur(
    shape: Shape, key: jax.Array, *, kernel_size: int = 61, intensity: float = 0.5, kernel: jax.Array | None = None
):
    kernel = operators.motion_kernel(key, kernel_size, intensity) if kernel is None else kernel
    return operators.MotionBlur(shape, kernel)


def _inpainting_random(shape: Shape, key: jax.Array, *, rate: float = 0.8, mask: jax.Array | None = None):
    return operators.Inpainting(operators.random_mask(key, shape, rate) if mask is None else mask, shape[2])


def _inpainting_box(
    shape: Shape, key: jax.Array, *, box: int | None = None, margin: int | None = None, mask: jax.Array | None = None
):
    if mask is not None:
        return operators.Inpainting(mask, shape[2])
    # Published at 256x256: 128x128 with 16 pixels around; other sizes in proportion.
    side = min(shape[:2])
    box, margin = side // 2 if box is None else box, side // 16 if margin is None else margin
    return operators.Inpainting(operators.box_mask(key, shape, (box, box), margin=margin), shape[2])


def _phase_retrieval(shape: Shape, key: jax.Array, *, oversample: float = 2.0):
    return operators.PhaseRetrieval(shape, oversample)


def _nonlinear_deblur(
    shape: Shape,
    key: jax.Array,
    *,
    weights: str | os.PathLike[str] | None = None,
    intensity: float = 1.2,
    code: jax.Array | None = None,
):
    if weights is None:
        raise ValueError(
            "nonlinear_deblur needs the converted blur network: option weights=FOLDER, written by "
            "`python -m convert_weights bkse GOPRO_wVAE.pth --out FOLDER`"
        )
    params = operators.load_nonlinear_blur(weights)
    code = operators.random_blur_code(key, shape, params, intensity=intensity) if code is None else code
    return operators.NonlinearBlur(shape, params, code)


def _high_dynamic_range(shape: Shape, key: jax.Array, *, scale: float = 2.0):
    return operators.HighDynamicRange(shape, scale)


def _denoising(shape: Shape, key: jax.Array):
    return operators.Denoising(shape)


def _colorization(shape: Shape, key: jax.Array):
    return operators.Colorization(shape)


def build_sampler(method: str, settings: Mapping[str, Any]) -> Sampler:
    """A sampler from its method and settings: keyword arguments of the factory, and two that all methods share.

    `self_ensemble` is the number of mirrored copies that each evaluation of the prior averages, `mean_of` that of the
    runs whose mean is the answer (see `Sampler.with_self_ensemble` and `Sampler.mean_of`); both are 1 by default.

    Raises:
      ValueError: If the method is unknown, or a value is out of range.
      TypeError: If the method has no such setting.
    """
    _checks.one_of("method", method, tuple(METHODS))
    factory = METHODS[method]
    _checks.known(method, "setting", settings, (*inspect.signature(factory).parameters, *SHARED_SETTINGS))
    own = {name: value for name, value in settings.items() if name not in SHARED_SETTINGS}
    sampler = factory(**own).with_self_ensemble(settings.get("self_ensemble", 1))
    return sampler.mean_of(settings.get("mean_of", 1))


@dataclasses.dataclass(frozen=True)
class TaskDefinition:
    """An entry of `TASKS`."""

    description: str
    build: Callable[..., operators.Operator]  # (image_shape, key, **options) -> operator
    noise_std: float  # usual noise, on the [-1, 1] scale
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]]  # set -> method -> keyword arguments of its factory

    @property
    def options(self) -> dict[str, Any]:
        """Names and defaults of the options that `task` takes."""
        return dict(self.build.__kwdefaults__ or {})


@dataclasses.dataclass(frozen=True)
class Task:
    """A degradation for images of one shape, with the settings recommended for it."""

    name: str
    degradation: Degradation
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def sampler(self, method: str, settings: str = "photo", **overrides: Any) -> Sampler:
        """The method's sampler with the settings of a set, some of them replaced.

        Args:
          method: One of `jaxrestore.tasks.METHODS`: "spgd", "dpps", "dps", ...
          settings: "published" for the papers' networks, "photo" for the bundled prior.
          **overrides: Keyword arguments of the method's factory.

        Raises:
          ValueError: If method or set is unknown, or the method cannot do this task.
          TypeError: If the method has no such setting.
        """
        return build_sampler(method, {**self.for_method(method, settings), **overrides})

    def for_method(self, method: str, settings: str = "photo") -> Mapping[str, Any]:
        """The method's recommended settings; arguments and errors are those of `sampler`."""
        _checks.one_of("method", method, tuple(METHODS))
        _checks.one_of("settings", settings, SETTINGS)
        if method not in self.settings[settings]:
            able = ", ".join(self.settings[settings])
            linear = any(other in self.settings[settings] for other in LINEAR_ONLY)
            needs = "an operator that knows its singular value decomposition" if linear else "a linear operator"
            raise ValueError(f"{method} cannot do {self.name}: it needs {needs}; expected one of {able}")
        return self.settings[settings][method]


# What the tasks share. "published" are the papers' own; "photo" is for a small prior, on a CPU.
_SHARED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "published": {
        "spgd": {"num_steps": 100},
        "dpps": {"num_steps": 1000},
        "dps": {"num_steps": 1000},
        "diffpir": {"num_steps": 100},
        "ddnm": {"num_steps": 100},
        "ddrm": {"num_steps": 20},
        "pigdm": {"num_steps": 100},
        "mmps": {"num_steps": 100},
        "daps": {"num_steps": 200},
        "reddiff": {"num_steps": 1000},
    },
    # SPGD: few levels with many likelihood steps each, at a rate that stays: the fewer the levels, the nearer the
    # result is to the posterior mean, and this prior's own samples are grainy. Scales are those of 256x256.
    "photo": {
        "spgd": {"num_steps": 3, "warmup_steps": 32, "sigma_max": 10.0, "sigma_min": 0.1, "lr_min_ratio": 1.0},
        "dpps": {"num_steps": 100},
        "dps": {"num_steps": 100},
        "diffpir": {"num_steps": 50, "zeta": 1.0},
        "ddnm": {"num_steps": 50},
        "ddrm": {"num_steps": 20},
        "pigdm": {"num_steps": 50},
        "mmps": {"num_steps": 50},
        "daps": {
            "num_steps": 30,
            "ode_steps": 3,
            "langevin_steps": 50,
            "learning_rate": 5e-5,
            "lr_min_ratio": 0.1,
            "sigma_max": 30.0,
            "sigma_min": 0.03,
        },
        "reddiff": {"num_steps": 200},
    },
}


def _settings(
    *, published: Mapping[str, Mapping[str, Any]], photo: Mapping[str, Mapping[str, Any]], without: Sequence[str] = ()
) -> dict[str, dict[str, dict[str, Any]]]:
    """Complete each method's settings with what all tasks share; `without` names methods that cannot do the task."""
    chosen = {"published": published, "photo": photo}
    return {s: {m: {**_SHARED[s][m], **chosen[s].get(m, {})} for m in METHODS if m not in without} for s in SETTINGS}


TASKS: dict[str, TaskDefinition] = {
    "super_resolution": TaskDefinition(
        "enlarge a picture that was reduced by an integer factor",
        _super_resolution,
        0.01,
        _settings(
            published={"spgd": {"learning_rate": 7.0}, "dpps": {"scale": 1.0}, "dps": {"scale": 1.0}},
            photo={
                "spgd": {"learning_rate": 6.0},
                "dpps": {"scale": 40.0},
                "dps": {"scale": 40.0},
                "daps": {"learning_rate": 7.2e-5, "tau": 0.003},
            },
        ),
    ),
    "gaussian_deblur": TaskDefinition(
        "sharpen a picture blurred by a Gaussian",
        _gaussian_deblur,
        0.01,
        _settings(
            published={"spgd": {"learning_rate": 1.0}, "dpps": {"scale": 0.4}, "dps": {"scale": 1.0}},
            photo={
                "spgd": {"learning_rate": 0.6},
                "dpps": {"scale": 10.0},
                "dps": {"scale": 10.0},
                "ddnm": {"eta": 1.0},
                "mmps": {"solver_steps": 3},
                "reddiff": {"learning_rate": 0.2},
            },
        ),
    ),
    "motion_deblur": TaskDefinition(
        "sharpen a picture blurred by a moving camera",
        _motion_deblur,
        0.01,
        _settings(
            published={"spgd": {"learning_rate": 1.0}, "dpps": {"scale": 0.4}, "dps": {"scale": 1.0}},
            photo={
                "spgd": {"learning_rate": 0.6},
                "dpps": {"scale": 4.0},
                "dps": {"scale": 4.0},
                "mmps": {"solver_steps": 3},
                "reddiff": {"learning_rate": 0.2},
            },
            without=("ddrm",),  # a reflected motion blur has no decomposition in closed form
        ),
    ),
    "inpainting_random": TaskDefinition(
        "fill in pixels missing at random",
        _inpainting_random,
        0.01,
        _settings(
            published={
                "spgd": {"learning_rate": 2.5},
                "dpps": {"scale": 1.0},
                "dps": {"scale": 1.0},
                "diffpir": {"num_steps": 20, "zeta": 1.0},
            },
            # One sample pays for its texture in PSNR; the mean of a few does not, and still has more of it than
            # interpolation.
            photo={
                "spgd": {"learning_rate": 0.8, "sigma_max": 30.0, "mean_of": 4},
                "dpps": {"scale": 20.0, "mean_of": 2},
                "dps": {"scale": 20.0, "mean_of": 2},
                "ddnm": {"eta": 1.0},
                "ddrm": {"num_steps": 100, "eta": 1.0},
                "pigdm": {"scale": 1.5},
                "daps": {"learning_rate": 4.5e-6, "tau": 0.003},
            },
        ),
    ),
    "inpainting_box": TaskDefinition(
        "fill in a missing box",
        _inpainting_box,
        0.05,
        _settings(
            # The learning rate published for SPGD, 5e-5, does not move the image; 1.0 is this library's.
            published={
                "spgd": {"learning_rate": 1.0},
                "dpps": {"scale": 1.0},
                "dps": {"scale": 1.0},
                "diffpir": {"num_steps": 20, "zeta": 1.0},
            },
            photo={
                "spgd": {"learning_rate": 0.8, "sigma_max": 30.0},
                "dpps": {"scale": 8.0},
                "dps": {"scale": 8.0},
            },
        ),
    ),
    "phase_retrieval": TaskDefinition(
        "recover a picture from Fourier amplitudes (keep the best of 4 samples)",
        _phase_retrieval,
        0.05,
        _settings(
            published={
                "spgd": {"learning_rate": 2.0},
                "dpps": {"scale": 0.4},
                "dps": {"scale": 0.4},
                "daps": {"learning_rate": 5e-5},
            },
            photo={"spgd": {"learning_rate": 2.0}, "dpps": {"scale": 2.0}, "dps": {"scale": 2.0}},
            without=LINEAR_ONLY,
        ),
    ),
    "nonlinear_deblur": TaskDefinition(
        "undo a neural model of camera shake (needs converted weights)",
        _nonlinear_deblur,
        0.05,
        _settings(
            published={"spgd": {"learning_rate": 1.0}, "dpps": {"scale": 1.0}, "dps": {"scale": 1.0}},
            photo={"spgd": {"learning_rate": 0.6}, "dpps": {"scale": 10.0}, "dps": {"scale": 10.0}},
            without=LINEAR_ONLY,
        ),
    ),
    "high_dynamic_range": TaskDefinition(
        "recover what over-exposure clipped",
        _high_dynamic_range,
        0.05,
        _settings(
            published={"spgd": {"learning_rate": 1.0}, "dpps": {"scale": 1.0}, "dps": {"scale": 1.0}},
            photo={"spgd": {"learning_rate": 0.2}, "dpps": {"scale": 5.0}, "dps": {"scale": 5.0}},
            without=LINEAR_ONLY,
        ),
    ),
    "denoising": TaskDefinition(
        "remove Gaussian noise of known strength",
        _denoising,
        0.2,
        _settings(
            published={"spgd": {"learning_rate": 1.0}, "dpps": {"scale": 1.0}, "dps": {"scale": 1.0}},
            photo={
                "spgd": {"learning_rate": 0.05},
                "dpps": {"scale": 12.0},
                "dps": {"scale": 12.0},
                "reddiff": {"strength": 2.0},
                "daps": {"learning_rate": 0.01, "lr_min_ratio": 0.01, "tau": 0.2, "sigma_min": 0.1},
            },
        ),
    ),
    "colorization": TaskDefinition(
        "colour a grey picture",
        _colorization,
        0.01,
        _settings(
            published={"spgd": {"learning_rate": 1.0}, "dpps": {"scale": 1.0}, "dps": {"scale": 1.0}},
            photo={"spgd": {"learning_rate": 2.0}, "dpps": {"scale": 16.0}, "dps": {"scale": 16.0}},
        ),
    ),
}


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
      ValueError: If the name is unknown, or a value is out of range.
      TypeError: If the task has no such option.
    """
    _checks.one_of("task", name, tuple(TASKS))
    definition = TASKS[name]
    shape = _checks.image_shape("image_shape", image_shape)
    _checks.known(f"task {name!r}", "option", options, tuple(definition.options))
    std = definition.noise_std if noise_std is None else noise_std
    _checks.not_negative("noise_std", std)
    operator = definition.build(shape, jax.random.key(0) if key is None else key, **options)
    noise = GaussianNoise(jnp.float32(std)) if std else NoNoise()
    photo = {method: for_size(method, values, shape) for method, values in definition.settings["photo"].items()}
    settings = {**definition.settings, "photo": photo}
    return Task(name, Degradation(operator, noise), settings)


def for_size(method: str, settings: Mapping[str, Any], shape: Shape, *, back: bool = False) -> dict[str, Any]:
    """The settings of 256x256 for another size, or `back`.

    DPS and DPPS move by `scale` along the gradient of a norm, whose length does not depend on the number of pixels: to
    move each pixel alike, the step must grow with the square root of that number. The other methods' steps do so by
    themselves.
    """
    factor = (shape[0] * shape[1]) ** 0.5 / 256
    factor = 1.0 / factor if back else factor
    return {k: v * factor if k == "scale" and method in ("dps", "dpps") else v for k, v in settings.items()}
