"""Kernels of shaking cameras, drawn at random."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks

_FINENESS = 2  # the path is drawn on a canvas of so many pixels a side to each of the kernel
# The longest path takes 465 steps at intensity 1, where they are shortest; so many are five standard deviations more.
_MOST_STEPS = 600
_SHARE = 30.0  # a step is a share of Beta(1, 30) of the longest step there may be: on average 1 / 31
_LEAST_BEND = 0.1  # radians that directions may stray even where the path bends least; also the least step's factor


def motion_kernel(key: jax.Array, size: int, intensity: jax.typing.ArrayLike = 0.5) -> jax.Array:
    """A random camera-shake kernel: a line drawn along a path of many short steps.

    Intensity says how curved the path is, not how long: at 0 it is a straight line, at 1 it turns all the time. Lengths
    vary at every intensity, from nearly nothing to three quarters of the kernel's diagonal, and twice as much at 1.
    Every pixel that the line touches counts alike, however often it does; the line is softened by a Gaussian of about a
    hundredth of the diagonal. Lengths, directions and turns are distributed as in the generator that the papers use.

    Args:
      key: Draws the path.
      size: Side of the kernel, odd.
      intensity: In [0, 1]; published 0.5. May be traced.

    Returns:
      (size, size), float32, finite, not negative, sums to 1. What leaves the kernel is cut off.

    Raises:
      ValueError: If `size` is even or below 1, or a concrete `intensity` is outside [0, 1].

    References:
      Borodenko, motionblur (github.com/LeviBorodenko/motionblur), with whose kernels DPS, DPPS, DAPS, DiffPIR and SPGD
      are tested. The distribution is the same, the random draws are not; it draws no kernels smaller than 54 pixels.

    Example:
      >>> jr.operators.motion_kernel(key, 61, 0.5).shape
      (61, 61)
    """
    _checks.at_least("size", size, 1)
    _checks.within("intensity", intensity, 0.0, 1.0)
    if size % 2 == 0:
        raise ValueError(f"size is {size}, expected an odd number: an even kernel has no centre")
    return _draw(key, jnp.asarray(intensity, jnp.float32), size)


@functools.partial(jax.jit, static_argnums=2)  # one program: called one by one, its many small ones take seconds
def _draw(key: jax.Array, intensity: jax.Array, size: int) -> jax.Array:
    side = _FINENESS * size
    diagonal = math.sqrt(2.0) * side
    key_steps, key_directions, key_rotation = jax.random.split(key, 3)
    steps = diagonal * _steps(key_steps, intensity)
    directions = _directions(key_directions, intensity) + jax.random.uniform(key_rotation, maxval=math.pi)
    moves = steps[:, None] * jnp.stack([jnp.sin(directions), jnp.cos(directions)], -1)
    path = jnp.cumsum(moves, 0)
    taken = (steps > 0)[:, None]
    path = path - jnp.sum(taken * path, 0) / jnp.sum(taken) + side / 2

    canvas = _line(path, steps, side, width=max(1, int(diagonal / 150)))
    blurred = _soften(canvas, std=int(0.01 * diagonal))
    kernel = blurred.reshape(size, _FINENESS, size, _FINENESS).sum((1, 3))
    return (kernel / kernel.sum()).astype(jnp.float32)


def _steps(key: jax.Array, intensity: jax.Array) -> jax.Array:
    """(_MOST_STEPS,), lengths of the steps as shares of the diagonal, 0 after the path's end.

    The path goes on until it is longer than a length that is drawn before, and no step alone may be so long.
    """
    key_length, key_more, key_steps = jax.random.split(key, 3)
    length = 0.75 * (jax.random.uniform(key_length) + jnp.square(intensity) * jax.random.uniform(key_more))
    longest = 1.0 - intensity + _LEAST_BEND
    # Inverse of the distribution function 1 - (1 - b)^30, cut where a step would be longer than the path.
    mass = 1.0 - (1.0 - jnp.minimum(1.0, length / longest)) ** _SHARE
    drawn = mass * jax.random.uniform(key_steps, (_MOST_STEPS,))
    steps = longest * (1.0 - (1.0 - drawn) ** (1.0 / _SHARE))
    before = jnp.cumsum(steps) - steps
    # The first counts always, so that there is a path even where rounding leaves it no length.
    return jnp.where((before < length) | (jnp.arange(_MOST_STEPS) == 0), jnp.maximum(steps, 1e-6), 0.0)


def _directions(key: jax.Array, intensity: jax.Array) -> jax.Array:
    """(_MOST_STEPS,), angles in radians: they stray to one side of 0 for a while, then to the other."""
    key_reach, key_jitter, key_first, key_angle, key_turn = jax.random.split(key, 5)
    reach = intensity * math.pi * jax.random.uniform(key_reach)
    # The probability of changing sides is a draw of Beta(2, 20): the second smallest of 21 uniform ones.
    jitter = jnp.sort(jax.random.uniform(key_jitter, (21,)))[1]
    first = reach * jax.random.uniform(key_first, minval=-1.0, maxval=1.0)
    # Triangular on [0, high] with its mode at `mode`, by the inverse of its distribution function.
    mode, high = intensity * reach, reach + _LEAST_BEND
    u = jax.random.uniform(key_angle, (_MOST_STEPS - 1,))
    rising = jnp.sqrt(u * high * mode)
    angles = jnp.where(u * high < mode, rising, high - jnp.sqrt((1.0 - u) * high * (high - mode)))
    turns = jnp.where(jax.random.bernoulli(key_turn, jitter, u.shape), -1.0, 1.0)
    return jnp.append(first, jnp.sign(first) * jnp.cumprod(turns) * angles)


def _line(path: jax.Array, steps: jax.Array, side: int, width: int) -> jax.Array:
    """(side, side): 1 where the line through the points passes, 0 elsewhere.

    Args:
      path: (N, 2), rows and columns in pixels; what lies outside is not drawn.
      steps: (N,), the distance of each point from the one before; 0 after the end.
      side: Of the canvas.
      width: Of the line, in pixels.
    """
    # From the first point on: as published, the step that leads there is not drawn.
    along = jnp.cumsum(steps) - steps[0]
    places = along[-1] * jnp.linspace(0.0, 1.0, 10 * side)  # about a fifth of a pixel apart on the longest path
    points = jnp.stack([jnp.interp(places, along, path[:, axis]) for axis in range(2)], -1)
    thickness = np.stack(np.meshgrid(np.arange(width), np.arange(width), indexing="ij"), -1).reshape(-1, 1, 2)
    pixels = jnp.floor(points + thickness - (width - 1) / 2).astype(jnp.int32).reshape(-1, 2)
    pixels = jnp.where(pixels < 0, side, pixels)  # negative indices would count from the other end
    return jnp.zeros((side, side)).at[pixels[:, 0], pixels[:, 1]].max(1.0, mode="drop")


def _soften(canvas: jax.Array, std: int) -> jax.Array:
    """A Gaussian blur whose borders are dark."""
    if std == 0:
        return canvas
    places = np.arange(len(canvas))
    matrix = np.exp(-0.5 * np.square((places[:, None] - places) / std)) / (std * math.sqrt(2 * math.pi))
    matrix = jnp.asarray(matrix, jnp.float32)
    return jnp.einsum("ij,jk,lk->il", matrix, canvas, matrix, precision="highest")
