"""Arrays under `jax.shard_map`, which keeps account of the mesh axes that each of them varies over."""

import jax


def vary_alike(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays, each made to vary over every mesh axis that one of them varies over; outside of `shard_map` as is.

    JAX does so before its own operations. A function with a gradient rule of its own must do it by itself: its rule
    returns for parameters, the same on all devices, a gradient that differs from device to device, and the sum over
    devices that turns one into the other is the gradient of this cast.
    """
    axes = [_axes(a) for a in arrays]
    union = frozenset[str]().union(*axes)
    return tuple(
        jax.lax.pcast(a, tuple(sorted(union - own)), to="varying") if union - own else a
        for a, own in zip(arrays, axes, strict=True)
    )


def _axes(array: jax.Array) -> frozenset[str]:
    """Mesh axes that an array varies over; where JAX keeps them changed between versions."""
    kind = jax.typeof(array)
    return getattr(getattr(kind, "mat", kind), "varying", getattr(kind, "vma", frozenset()))
