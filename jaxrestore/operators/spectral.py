"""Singular value decompositions of linear operators, and the three inverses that samplers build from them.

Operators that know their decomposition have a method `svd()`; it is exact and costs no more than applying the operator.
All others are inverted by matrix-free conjugate gradients.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg

from jaxrestore import _checks
from jaxrestore._numerics import like

RCOND = 1e-4  # singular values below this share of the largest count as zero: float32 keeps little below them
CG_STEPS = 100
CG_TOLERANCE = 1e-6


class SVD(NamedTuple):
    """A = U S V^T. Coefficients have one number for each of the image's, in an array of any shape.

    V is square and orthogonal; what is never measured has singular value 0.
    """

    values: jax.Array  # broadcasts against coefficients; not negative
    analyze: Callable[[jax.Array], jax.Array]  # image (H, W, C) -> coefficients V^T x
    synthesize: Callable[[jax.Array], jax.Array]  # coefficients -> image V c
    measured: Callable[[jax.Array], jax.Array]  # measurement -> coefficients U^T y, 0 where there is none

    def nonzero(self, rcond: float = RCOND) -> jax.Array:
        """Where the singular value is not zero, in the shape of `values`."""
        return self.values > rcond * jnp.max(self.values)

    def inverse(self, rcond: float = RCOND) -> jax.Array:
        """1 / values where they are not zero, 0 elsewhere: the singular values of A^+."""
        nonzero = self.nonzero(rcond)
        return jnp.where(nonzero, 1.0 / jnp.where(nonzero, self.values, 1.0), 0.0)


def separable_svd(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int, int]) -> SVD:
    """The decomposition of x -> rows x columns^T on each channel, made from those of the two matrices."""
    height, width, _ = shape
    (left_r, values_r, right_r), (left_c, values_c, right_c) = (np.linalg.svd(m) for m in (rows, columns))
    values = np.zeros((height, width, 1))
    values[: len(values_r), : len(values_c), 0] = np.outer(values_r, values_c)

    def both(first: np.ndarray, x: jax.Array, second: np.ndarray) -> jax.Array:
        return jnp.einsum("ih,hwc,jw->ijc", like(x, first), x, like(x, second), precision="highest")

    def measured(y: jax.Array) -> jax.Array:
        known = both(left_r.T, y, left_c.T)
        return jnp.pad(known, ((0, height - y.shape[0]), (0, width - y.shape[1]), (0, 0)))

    return SVD(
        jnp.asarray(values), lambda x: both(right_r, x, right_c), lambda c: both(right_r.T, c, right_c.T), measured
    )


def transpose(operator: Any) -> Callable[[jax.Array], jax.Array]:
    """A^T of any linear callable that knows its image shape.

    Raises:
      TypeError: If the operator says of itself that it is not linear.
    """
    if not getattr(operator, "linear", True):
        raise _checks.InputTypeError(f"{type(operator).__name__} is not linear, expected a linear operator")

    def transposed(y: jax.Array) -> jax.Array:
        image = jax.ShapeDtypeStruct(operator.image_shape, y.dtype)
        return jax.linear_transpose(operator, image)(y)[0]

    return transposed


def spectral(operator: Any, like_this: jax.Array) -> SVD:
    """The operator's own decomposition, with numbers in the dtype of an image or measurement.

    Raises:
      AttributeError: If it has none.
    """
    svd = operator.svd()
    return svd._replace(values=like(like_this, svd.values))


def find_svd(operator: Any, like_this: jax.Array) -> SVD | None:
    """The same, or None if the operator has none."""
    return spectral(operator, like_this) if hasattr(operator, "svd") else None


def pseudo_inverse(operator: Any, y: jax.Array, *, rcond: float = RCOND) -> jax.Array:
    """A^+ y: of all images that come nearest to the measurement the smallest.

    Args:
      operator: Linear.
      y: A measurement.
      rcond: Singular values below this share of the largest count as zero. Without a decomposition, conjugate gradients
        on the normal equations stop at their tolerance, or after `CG_STEPS`, which has the same effect.

    Returns:
      (H, W, C).

    Raises:
      TypeError: If the operator is not linear.
    """
    if (svd := find_svd(operator, y)) is not None:
        return svd.synthesize(svd.inverse(rcond) * svd.measured(y))
    adjoint = transpose(operator)
    solution, _ = cg(lambda x: adjoint(operator(x)), adjoint(y), tol=CG_TOLERANCE, maxiter=CG_STEPS)
    return solution


def proximal_step(operator: Any, y: jax.Array, z: jax.Array, rho: jax.typing.ArrayLike) -> jax.Array:
    """argmin_x ||A x - y||^2 + rho ||x - z||^2 for a linear operator.

    Args:
      operator: Linear.
      y: A measurement.
      z: (H, W, C), where the image should stay near.
      rho: Positive weight; may be traced.

    Returns:
      (H, W, C).

    Raises:
      TypeError: If the operator is not linear.
    """
    rho = like(z, rho)
    if (svd := find_svd(operator, y)) is not None:
        s = svd.values
        return svd.synthesize((s * svd.measured(y) + rho * svd.analyze(z)) / (jnp.square(s) + rho))
    adjoint = transpose(operator)
    # Solved for the change: conjugate gradients then start from zero and their tolerance is that of the change.
    change, _ = cg(
        lambda x: adjoint(operator(x)) + rho * x, adjoint(y - operator(z)), tol=CG_TOLERANCE, maxiter=CG_STEPS
    )
    return z + change


def likelihood_score(
    operator: Any, residual: jax.Array, image_variance: jax.typing.ArrayLike, noise_variance: jax.typing.ArrayLike
) -> jax.Array:
    """A^T (v A A^T + s^2 I)^-1 r: the gradient of log N(y; A x0, v A A^T + s^2 I) at residual r = y - A x0.

    Args:
      operator: Linear.
      residual: r, a measurement.
      image_variance: v, positive; may be traced.
      noise_variance: s^2, not negative; with 0 the inverse is the pseudo-inverse.

    Returns:
      (H, W, C).

    Raises:
      TypeError: If the operator is not linear.
    """
    image_variance, noise_variance = (like(residual, v) for v in (image_variance, noise_variance))
    if (svd := find_svd(operator, residual)) is not None:
        s = svd.values
        weight = s / jnp.where(svd.nonzero(), image_variance * jnp.square(s) + noise_variance, 1.0)
        return svd.synthesize(jnp.where(svd.nonzero(), weight * svd.measured(residual), 0.0))
    adjoint = transpose(operator)
    solution, _ = cg(
        lambda u: image_variance * operator(adjoint(u)) + noise_variance * u,
        residual,
        tol=CG_TOLERANCE,
        maxiter=CG_STEPS,
    )
    return adjoint(solution)
