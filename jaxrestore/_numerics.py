"""Arithmetic in the dtype of the images, with derivatives where the plain formula has none; and a solver."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp


def like(x: jax.Array, value: jax.typing.ArrayLike) -> jax.Array:
    """A setting, table or array in the dtype of `x`.

    Under `jax_enable_x64` what is made of NumPy's float64 would otherwise turn float32 images into float64.
    """
    return jnp.asarray(value, x.dtype)


def safe_sqrt(squared: jax.Array) -> jax.Array:
    """The square root of numbers that are not negative, with derivative 0 at 0, where the true one is infinite."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def safe_norm(v: jax.Array, axis: int | Sequence[int] | None = None, *, keepdims: bool = False) -> jax.Array:
    """||v||_2 over `axis` (all axes by default), with gradient 0 at v = 0."""
    return safe_sqrt(jnp.sum(jnp.square(v), axis, keepdims=keepdims))


def gmres(product: Callable[[jax.Array], jax.Array], b: jax.Array, steps: int) -> jax.Array:
    """The x that makes ||b - S x|| smallest among the combinations of b, S b, ..., S^(steps - 1) b.

    Unlike `jax.scipy.sparse.linalg.gmres` it does not ask for the transpose of S, which vector-Jacobian products of
    functions with a derivative rule of their own do not have; and it applies S `steps` times, not twice more.

    Args:
      product: v -> S v, linear; need not be symmetric.
      b: Any shape.
      steps: At least 1.

    References:
      Saad & Schultz, GMRES: A Generalized Minimal Residual Algorithm for Solving Nonsymmetric Linear Systems, 1986.
    """
    size = safe_norm(b)
    basis = jnp.zeros((steps + 1, b.size), b.dtype).at[0].set(_divided(b.ravel(), size))

    def arnoldi(k: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        basis, projected = carry
        v = product(basis[k].reshape(b.shape)).ravel()
        column = jnp.zeros(steps + 1, b.dtype)
        for _ in range(2):  # what rounding leaves of the earlier directions is taken off the second time
            shares = jnp.matmul(basis, v, precision="highest")
            v, column = v - jnp.matmul(shares, basis, precision="highest"), column + shares
        rest = safe_norm(v)
        return basis.at[k + 1].set(_divided(v, rest)), projected.at[:, k].set(column.at[k + 1].set(rest))

    basis, projected = jax.lax.fori_loop(0, steps, arnoldi, (basis, jnp.zeros((steps + 1, steps), b.dtype)))
    # By singular values: columns are zero where the space was exhausted before its last step.
    weights = jnp.linalg.lstsq(projected, jnp.zeros(steps + 1, b.dtype).at[0].set(size))[0]
    return jnp.matmul(weights, basis[:-1], precision="highest").reshape(b.shape)


def _divided(v: jax.Array, size: jax.Array) -> jax.Array:
    """V / size, or zeros."""
    return jnp.where(size > 0, v / jnp.where(size > 0, size, 1.0), 0.0)
