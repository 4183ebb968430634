"""Coarse to fine: the first, noisiest levels of a sampler on a reduced picture."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore.degradation import Degradation
from jaxrestore.noise import GaussianNoise, JPEGNoise
from jaxrestore.operators import Operator
from jaxrestore.operators.enlarged import Enlarged, enlarge, enlargement_error, typical_image
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler
from jaxrestore.samplers._recipes import remembered
from jaxrestore.samplers.starts import FirstImage

_OVERLAP = 1.2


def coarse_degradation(degradation: Degradation, factor: int) -> Degradation:
    """The degradation as an image on a coarser grid has it.

    What enlargement cannot express of an image is the operator's error, which counts as further noise. JPEG's noise,
    which is white in a decomposition that the coarse operator has not, is that of a typical image's pixels.
    """
    operator, noise = degradation.operator, degradation.noise
    if isinstance(noise, JPEGNoise):
        noise = GaussianNoise(_pixel_std(noise, operator.image_shape))
    # To the type checker whether it is linear is a fact of the class; here it is one of the operator inside.
    coarse = cast(Operator, Enlarged(operator, factor, enlargement_error(operator, factor)))
    return Degradation(coarse, noise)


def _pixel_std(noise: JPEGNoise, shape: tuple[int, int, int]) -> jax.Array:
    """The deviation of a measurement's entries."""
    x = jnp.clip(jnp.asarray(typical_image(shape)), -1.0, 1.0)
    return jnp.sqrt(jnp.mean(jnp.square(noise(jax.random.key(0), x) - x)))  # nothing is drawn


class Part(Protocol):
    """A sampler that walks only a part of the noise levels: from `sigma_max` to `sigma_min`, then to the image."""

    def __call__(self, *, sigma_max: float, sigma_min: float, start: FirstImage | None) -> Sampler: ...


@remembered
def over_grids(part: Part, num_grids: int, *, crossing: float = 0.5) -> Sampler:
    """A sampler that begins on a picture reduced by 2^(num_grids - 1) and ends on the whole one.

    Pixels of a reduced picture are means of many, so the same picture has the same share of noise there at a higher
    level: each grid passes on at twice the noise of the next finer one.

    Args:
      part: Makes the sampler of one grid.
      num_grids: At least 1; with 1 the sampler itself.
      crossing: The noise level at which the finest grid takes over. It begins a fifth above it, for the enlarged
        picture has errors of its own.

    Returns:
      A sampler with the state and the diagnostics of the finest grid's; see `coarse_to_fine`.

    Raises:
      ValueError: If `num_grids` is below 1, or `crossing` is not positive.

    Example:
      >>> def part(*, sigma_max, sigma_min, start):
      ...     first, last = min(10.0, sigma_max), max(0.05, sigma_min)
      ...     return jr.pspgd(evaluations=6, sigma_max=first, sigma_min=last, start=start)
      >>> jr.samplers.over_grids(part, 2).num_steps
      3
    """
    _checks.at_least("grids", num_grids, 1)
    _checks.positive("crossing", crossing)

    def from_grid(grid: int, start: FirstImage | None) -> Sampler:
        sigma_max, sigma_min = grid_levels(grid, num_grids, crossing=crossing)
        return part(sigma_max=sigma_max, sigma_min=sigma_min, start=start)

    sampler = from_grid(num_grids - 1, None)
    for grid in reversed(range(num_grids - 1)):
        sampler = coarse_to_fine(sampler, functools.partial(from_grid, grid))
    return sampler


def grid_levels(grid: int, num_grids: int, *, crossing: float = 0.5) -> tuple[float, float]:
    """Highest and lowest noise level of a grid of `over_grids`, 0 being the finest."""
    sigma_max = math.inf if grid == num_grids - 1 else _OVERLAP * crossing * 2**grid
    return sigma_max, crossing * 2 ** (grid - 1) if grid else 0.0


@remembered
def coarse_to_fine(coarse: Sampler, fine: Callable[[FirstImage], Sampler], *, factor: int = 2) -> Sampler:
    """A sampler that begins on a reduced picture, where an evaluation of the prior costs a `factor`^2-th.

    At high noise levels a picture shows nothing fine, so the coarse sampler does them; its answer is enlarged, noise is
    added anew, and the fine sampler goes on. The coarse one may be coarse to fine itself. For priors that denoise any
    size, with any operator: the coarse sampler sees the operator behind a bilinear enlargement.

    Args:
      coarse: Its last noise level is about the fine sampler's first.
      fine: From the image to start with, as a function of degradation and measurement, to the sampler that goes on from
        there: `lambda start: jr.spgd(..., start=start)`, or for ancestral samplers on a schedule that begins at less
        noise `lambda start: samplers.ancestral(..., start=samplers.image_start(start))`.
      factor: Between the two grids, at least 2.

    Returns:
      A sampler with the state, the diagnostics and the number of steps of the fine one. Its `init` runs the coarse one.

    Raises:
      ValueError: If `factor` is below 2.

    Warns:
      UserWarning: When sampling, if the prior knows one size only: its answers on a reduced picture are not to be
        trusted.

    References:
      Dynamic resolution in posterior sampling: SubDAPS++ (arXiv 2605.14267), with networks tuned for it.

    Example:
      >>> coarse = jr.pspgd(evaluations=6, sigma_max=5.0, sigma_min=0.5)
      >>> sampler = jr.coarse_to_fine(coarse, lambda start: jr.pspgd(evaluations=6, sigma_max=0.6, start=start))
      >>> sampler.num_steps
      3
    """
    _checks.at_least("factor", factor, 2)

    def blank(degradation: Degradation, y: jax.Array) -> jax.Array:
        return jnp.zeros(degradation.image_shape, y.dtype)

    def init(key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array) -> Any:
        if not getattr(prior, "any_size", True):
            warnings.warn(
                "the prior knows pictures of one size only, and is now asked about smaller ones; its answers there are "
                "not to be trusted. Take a sampler that stays on one grid",
                stacklevel=2,
            )
        key_coarse, key_fine = jax.random.split(key)
        image = coarse.sample(key_coarse, prior, coarse_degradation(degradation, factor), y).image
        image = enlarge(image, degradation.image_shape, factor)
        return fine(lambda degradation, y: image).init(key_fine, prior, degradation, y)

    going_on = fine(blank)
    return Sampler(init, going_on.step, going_on.num_steps)
