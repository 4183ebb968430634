"""Angles between image-sized vectors, for the diagnostics."""

import jax
import jax.numpy as jnp

_EPS = 1e-8  # guards each norm, as torch.cosine_similarity does


def cosine(a: jax.Array, b: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """Cosine similarity over `axis` (all axes by default); 0 where one of the two is zero."""
    norms = [jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(v), axis)), _EPS) for v in (a, b)]
    return jnp.sum(a * b, axis) / (norms[0] * norms[1])


def angle(a: jax.Array, b: jax.Array) -> jax.Array:
    """Angle between two arrays as vectors, in radians, [0, pi]; -1 where one is zero, since it has no direction."""
    defined = jnp.any(a != 0) & jnp.any(b != 0)
    return jnp.where(defined, jnp.arccos(jnp.clip(cosine(a, b), -1.0, 1.0)), -1.0)
