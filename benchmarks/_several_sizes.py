"""An exact prior of signals together with that of the same signals on coarser grids, for coarse-to-fine samplers."""

from typing import Any

import jax

from jaxrestore._pytree import pytree
from jaxrestore.priors._base import Prediction, predict_from_denoiser
from jaxrestore.schedules import DDPMSchedule


@pytree
class SeveralSizes:
    """Priors of several lengths as one, which goes by the length of what it is shown."""

    priors: tuple[Any, ...]  # the first is the signals' own

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """E[x0 | x] for x = x0 + sigma n, by the prior of such signals."""
        fitting = [prior for prior in self.priors if prior.image_shape == x.shape]
        if not fitting:
            shapes = [prior.image_shape for prior in self.priors]
            raise ValueError(f"x has shape {x.shape}, expected one of {shapes}")
        return fitting[0].denoise(x, sigma)

    def predict(self, x_t: jax.Array, t: jax.Array, schedule: DDPMSchedule) -> Prediction:
        """The reverse step at index `t` of `schedule`, with variance beta_tilde."""
        return predict_from_denoiser(self.denoise, x_t, t, schedule)
