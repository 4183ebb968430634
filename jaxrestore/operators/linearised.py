"""Operators near one image, where they are nearly linear."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Linearisation(NamedTuple):
    """A(x + v) = measured + J v to first order."""

    measured: jax.Array  # A(x)
    forward: Callable[[jax.Array], jax.Array]  # image v -> J v
    adjoint: Callable[[jax.Array], jax.Array]  # measurement u -> J^T u


def linearise(operator: Any, x: jax.Array) -> Linearisation:
    """The operator at `x` and its Jacobian, of which only products with vectors are formed.

    Both products come from reverse mode, which every operator has: one with a rule of its own for it
    (`jax.custom_vjp`) has no forward mode.
    """
    measured, pullback = jax.vjp(operator, x)
    transposed = jax.linear_transpose(pullback, measured)
    return Linearisation(measured, lambda v: transposed((v,))[0], lambda u: pullback(u)[0])
