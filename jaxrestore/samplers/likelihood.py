"""Likelihood gradients through a denoiser: what guides a sampler, apart from how it moves.

A likelihood is a function that evaluates the denoiser once at a noisy image and says which way the measurement pulls
it. `spgd` and every sampler made by `guided` take one, so they combine: see `dps.residual_norm`,
`spgd.squared_residual`, `pigdm.pseudo_inverse_guidance` and `mmps.moment_matching`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore.degradation import Degradation
from jaxrestore.noise import GaussianNoise, JPEGNoise, NoNoise
from jaxrestore.operators import Operator
from jaxrestore.operators._base import Needs, unmet
from jaxrestore.operators.enlarged import Enlarged
from jaxrestore.operators.jpeg import DecodedJPEG

Estimate = Callable[[jax.Array], tuple[jax.Array, Any]]  # noisy image -> (denoised image, whatever else comes with it)

# Assumed of a measurement that is said to have no noise, where a system would be singular without: a deviation of
# 0.05 % of the range.
LEAST_VARIANCE = 1e-6


class Level(NamedTuple):
    """How noisy an image is: x = signal (x0 + sigma n)."""

    signal: jax.typing.ArrayLike  # sqrt(abar_t) in a DDPM process; 1 where noise is only added
    sigma: jax.typing.ArrayLike


class LikelihoodGradient(NamedTuple):
    gradient: jax.Array  # (H, W, C), of the misfit with respect to the noisy image: samplers move against it
    residual: jax.Array  # (), ||y - A(x0)||_2
    x0: jax.Array  # (H, W, C)
    aux: Any  # what the estimate returned beside x0


class Likelihood(Protocol):
    def __call__(
        self, estimate: Estimate, x: jax.Array, level: Level, degradation: Degradation, y: jax.Array, /
    ) -> LikelihoodGradient: ...


def require(method: str, needs: Needs, degradation: Degradation) -> None:
    """Raise `TypeError` unless the degradation's operator offers what a method needs of it."""
    if reason := unmet(needs, degradation.operator):
        kind = "operators with a singular value decomposition" if degradation.operator.linear else "linear operators"
        raise _checks.InputTypeError(
            f"{method} takes {kind} only and {reason}; jaxrestore.METHODS names what others take"
        )


def noise_variance(degradation: Degradation, std: jax.typing.ArrayLike | None, dtype: Any) -> jax.Array:
    """Variance of the measurement noise, in a dtype: the degradation's own, or that of a given standard deviation.

    On a coarser grid what that grid cannot express comes on top.

    Raises:
      TypeError: If none is given and the degradation's noise is not Gaussian; or if JPEG's noise is another operator's.
    """
    noise = degradation.noise
    if std is None and not isinstance(noise, GaussianNoise | JPEGNoise | NoNoise):
        mend = ", e.g. degradation.noise.equivalent_std(y)" if hasattr(noise, "equivalent_std") else ""
        raise _checks.InputTypeError(
            f"the noise is {type(noise).__name__}, which has no one strength; give the sampler noise_std{mend}"
        )
    if std is None and isinstance(noise, JPEGNoise):
        _check_jpeg(noise, degradation.operator)
    if std is None:
        std = noise.std if isinstance(noise, GaussianNoise | JPEGNoise) else 0.0
    operator = degradation.operator
    further = operator.error_variance if isinstance(operator, Enlarged) else 0.0
    return jnp.square(jnp.asarray(std, dtype)) + jnp.asarray(further, dtype)


def _check_jpeg(noise: JPEGNoise, operator: Operator) -> None:
    """Raise unless an operator's decomposition is the one in which the noise is white."""
    if not isinstance(operator, DecodedJPEG):
        raise _checks.InputTypeError(
            "the noise is JPEGNoise, whose strength is told in the decomposition of a DecodedJPEG, and the operator is "
            f"{type(operator).__name__}; take DecodedJPEG, or operators.JPEG without noise"
        )
    files = [(part.quality, part.subsampling) for part in (noise, operator)]
    if files[0] != files[1]:
        raise _checks.InputTypeError(
            f"quality and subsampling of the noise are {files[0]}, and of the operator {files[1]}; expected the same: "
            "they are those of one file"
        )


def check_noise_std(std: jax.typing.ArrayLike | None) -> None:
    """Raise if a given noise level is out of range."""
    if std is not None:
        _checks.not_negative("noise_std", std)
