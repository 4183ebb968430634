"""Geometric self-ensemble: a better denoiser from the same network, for the price of several evaluations."""

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._pytree import pytree, static
from jaxrestore.priors._base import Prediction, Prior
from jaxrestore.schedules import DDPMSchedule

_SIZES = (1, 2, 4)


@pytree
class SelfEnsemble:
    """The mean of a prior's answers to an image and its mirror images, each mirrored back.

    Photographs are as likely as their mirror images; networks learn that only roughly, so the mean errs less. Two
    copies are the image and its mirror; four are also turned upside down. Costs as many evaluations as copies.

    Raises:
      ValueError: If `copies` is not 1, 2 or 4.

    References:
      Timofte et al., Seven Ways to Improve Example-Based Single Image Super Resolution, CVPR 2016; Lim et al., Enhanced
      Deep Residual Networks for Single Image Super-Resolution, CVPR workshops 2017 ("EDSR+").
    """

    prior: Prior
    copies: int = static(default=2)

    def __post_init__(self) -> None:
        if self.copies not in _SIZES:
            raise ValueError(f"copies is {self.copies}, expected one of {', '.join(map(str, _SIZES))}")

    @property
    def any_size(self) -> bool:
        """Whether the prior itself denoises pictures of any size."""
        return getattr(self.prior, "any_size", True)

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """Posterior mean E[x0 | x] for x = x0 + sigma n."""
        return self._mean(jax.vmap(lambda x: self.prior.denoise(x, sigma))(self._copies(x)))

    def predict(self, x_t: jax.Array, t: jax.Array, schedule: DDPMSchedule) -> Prediction:
        """The reverse step at index `t` of `schedule`; its parts are averaged one by one."""
        return jax.tree.map(self._mean, jax.vmap(lambda x: self.prior.predict(x, t, schedule))(self._copies(x_t)))

    def _copies(self, x: jax.Array) -> jax.Array:
        _checks.array("x", x, x.shape)
        images = [x, x[:, ::-1], x[::-1], x[::-1, ::-1]]
        return jnp.stack(images[: self.copies])

    def _mean(self, images: jax.Array) -> jax.Array:
        back = [images[i][:: -1 if i & 2 else 1, :: -1 if i & 1 else 1] for i in range(self.copies)]
        return sum(back[1:], back[0]) / self.copies
