"""Large images with bounded memory: a prior that sees overlapping tiles, blended at each evaluation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.priors._base import Prediction, Prior
from jaxrestore.schedules import DDPMSchedule


def tile_starts(length: int, tile: int, overlap: int) -> np.ndarray:
    """First pixels of the fewest tiles that cover `length` pixels and overlap by at least `overlap`, evenly spread."""
    if length <= tile:
        return np.zeros(1, np.int32)
    count = -(-(length - overlap) // (tile - overlap))
    return np.rint(np.linspace(0, length - tile, count)).astype(np.int32)


def blending_weights(length: int, tile: int, overlap: int) -> np.ndarray:
    """Weights of each tile's pixels along one axis, (tiles, tile): ramps over the overlap, with sum 1 at each pixel."""
    starts = tile_starts(length, tile, overlap)
    tile = min(tile, length)
    distance = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 0.5  # to the tile's border
    ramp = np.minimum(distance / max(overlap, 1), 1.0)
    total = np.zeros(length)
    for start in starts:
        total[start : start + tile] += ramp
    return np.stack([ramp / total[start : start + tile] for start in starts]).astype(np.float32)


@pytree
class TiledPrior:
    """A prior applied to overlapping tiles of an image, whose answers are blended into one.

    The likelihood sees the whole image at every step, so tiles agree where the measurement speaks; the blending at each
    evaluation, rather than at the end, makes them agree where it does not (Jimenez 2023, "Mixture of Diffusers",
    arXiv 2302.02412; Bar-Tal et al. 2023, "MultiDiffusion", arXiv 2302.08113). Tiles are taken one after another and
    evaluated again in the backward pass, so memory is that of one tile and a few images, and a gradient costs one
    further forward pass. Images not larger than a tile go to the prior as they are.

    Raises:
      ValueError: If the overlap is not in [0, tile / 2], or the tile is below 8 pixels.
    """

    prior: Prior
    tile: int = static(default=256)  # side of a tile in pixels; for networks of one resolution, theirs
    overlap: int = static(default=64)  # least overlap of neighbouring tiles, in pixels

    def __post_init__(self) -> None:
        _checks.at_least("tile", self.tile, 8)
        _checks.at_least("overlap", self.overlap, 0)
        if 2 * self.overlap > self.tile:
            raise ValueError(f"overlap is {self.overlap}, expected at most half the tile ({self.tile // 2})")

    @property
    def any_size(self) -> bool:
        """Whether the prior itself takes any: what is smaller than a tile is shown to it as it is."""
        return getattr(self.prior, "any_size", True)

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """Posterior mean E[x0 | x] for x = x0 + sigma n."""
        return self._blend(lambda prior, x: prior.denoise(x, sigma), x)

    def predict(self, x_t: jax.Array, t: jax.Array, schedule: DDPMSchedule) -> Prediction:
        """The reverse step at index `t` of `schedule`; its parts are blended one by one."""
        return self._blend(lambda prior, x: prior.predict(x, t, schedule), x_t)

    def _blend(self, evaluate: Callable[[Prior, jax.Array], Any], x: jax.Array) -> Any:
        height, width, channels = x.shape
        if max(height, width) <= self.tile:
            return evaluate(self.prior, x)
        starts = [tile_starts(n, self.tile, self.overlap) for n in (height, width)]
        weights = [like(x, blending_weights(n, self.tile, self.overlap)) for n in (height, width)]
        shape = (min(height, self.tile), min(width, self.tile), channels)
        grid = np.stack(np.meshgrid(*(np.arange(len(s)) for s in starts), indexing="ij"), -1).reshape(-1, 2)

        # Closed-over arrays would be constants of the checkpoint: the prior is its argument, and saved once.
        tile_answer = jax.checkpoint(evaluate)

        def add_tile(blended: Any, place: jax.Array) -> tuple[Any, None]:
            row, column = place
            corner = (jnp.asarray(starts[0])[row], jnp.asarray(starts[1])[column], jnp.int32(0))
            answer = tile_answer(self.prior, jax.lax.dynamic_slice(x, corner, shape))
            weight = weights[0][row][:, None, None] * weights[1][column][None, :, None]

            def add(total: jax.Array, part: jax.Array) -> jax.Array:
                there = jax.lax.dynamic_slice(total, corner, shape)
                return jax.lax.dynamic_update_slice(total, there + weight * part, corner)

            return jax.tree.map(add, blended, answer), None

        example = jax.eval_shape(evaluate, self.prior, jax.ShapeDtypeStruct(shape, x.dtype))
        blank = jax.tree.map(lambda a: jnp.zeros(x.shape, a.dtype), example)
        return jax.lax.scan(add_tile, blank, jnp.asarray(grid))[0]
