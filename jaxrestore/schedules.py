"""Noise schedules: plain NumPy in float64, computed once and then cast.

Two families. The EDM annealing grid of noise levels sigma (SPGD and its kind) and the discrete DDPM tables (DPS, DPPS).
`vp_timestep` maps one to the other for networks trained on the continuous VP process.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore.timesteps import kept_timesteps
from jaxrestore.timesteps import time_travel as time_travel

BETA_MIN = 0.1  # VP process of Song et al. 2021, appendix C, in units of 1 / time
BETA_DELTA = 19.9  # beta_max - beta_min


def edm(num_steps: int, *, sigma_max: float = 100.0, sigma_min: float = 0.1, rho: float = 7.0) -> np.ndarray:
    """Noise levels sigma_0 > ... > sigma_{N-1}, then 0.

    sigma_i = (sigma_max^(1/rho) + i / (N - 1) * (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho.

    Args:
      num_steps: N, at least 2.
      sigma_max: First level, on the scale of images in [-1, 1].
      sigma_min: Last level above zero, in (0, sigma_max).
      rho: Curvature, positive; larger spends more steps at small levels.

    Returns:
      (num_steps + 1,), float64, strictly decreasing.

    Raises:
      ValueError: If a setting is out of range.

    References:
      Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, equation 5.
    """
    _checks.at_least("num_steps", num_steps, 2)
    _checks.countable("num_steps", num_steps)
    _checks.positive("rho", rho)
    _checks.positive("sigma_min", sigma_min)
    if not sigma_min < sigma_max < np.inf:
        raise ValueError(f"sigma_max is {sigma_max}, expected a finite number above sigma_min = {sigma_min}")
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    ramp = np.arange(num_steps) / (num_steps - 1)
    return np.append((high + ramp * (low - high)) ** rho, 0.0)


def vp_timestep(sigma: jax.typing.ArrayLike) -> jax.Array:
    """Network time of a noise level, for networks trained on the VP process with 1000 steps.

    t(sigma) = 999 (sqrt(beta_min^2 + 2 beta_d log(1 + sigma^2)) - beta_min) / beta_d, a real number: the networks take
    fractional timesteps.

    Args:
      sigma: Noise level of x = x0 + sigma n, any shape; may be traced.

    Returns:
      Same shape, float32 (float64 for such noise levels), 0 at sigma = 0 and about 999 at sigma = 152.

    References:
      Karras et al. 2022, table 1, column VP.
    """
    # log1p keeps small sigmas exact; the quotient form avoids the difference of two nearly equal square roots.
    area = 2.0 * BETA_DELTA * jnp.log1p(jnp.square(jnp.asarray(sigma, jnp.result_type(sigma, jnp.float32))))
    return 999.0 * area / (BETA_DELTA * (jnp.sqrt(BETA_MIN**2 + area) + BETA_MIN))


def cosine_timestep(sigma: jax.typing.ArrayLike, *, base_steps: int = 1000) -> jax.Array:
    """Timestep of a network trained with `cosine_betas(base_steps)` at noise level sigma, a real number.

    The inverse of abar_k = cos^2(u_{k+1}) / cos^2(u_0), u_k = pi/2 (k / base_steps + 0.008) / 1.008, at
    abar = 1 / (1 + sigma^2), clipped to the range that was trained.

    Args:
      sigma: Noise level for x = x0 + sigma n, any shape.
      base_steps: Steps that the network was trained with.

    Returns:
      Same shape, float32 (float64 for such noise levels), in [0, base_steps - 1].

    References:
      Nichol & Dhariwal 2021, equation 17.
    """
    offset = 0.008 / 1.008 * math.pi / 2
    squared = jnp.square(jnp.asarray(sigma, jnp.result_type(sigma, jnp.float32)))
    # 1 - abar cos^2(u_0) without the difference of two numbers near one.
    sine = jnp.sqrt((math.sin(offset) ** 2 + squared) / (1 + squared))
    cosine = jnp.sqrt(math.cos(offset) ** 2 / (1 + squared))
    angle = jnp.arctan2(sine, cosine)
    return jnp.clip(base_steps * (1.008 * angle * 2 / math.pi - 0.008) - 1, 0.0, base_steps - 1.0)


def linear_betas(num_steps: int) -> np.ndarray:
    """Betas rising linearly from 1e-4 to 2e-2, both scaled by 1000 / num_steps (Ho et al. 2020, section 4).

    Raises:
      ValueError: If there are so few steps that the last beta reaches 1.
    """
    _checks.at_least("num_steps", num_steps, 1)
    _checks.countable("num_steps", num_steps)
    scale = 1000.0 / num_steps
    if scale * 2e-2 >= 1.0:
        raise ValueError(
            f"num_steps is {num_steps}, expected at least 21: below that the last of the linear betas, 20 / num_steps, "
            'reaches 1; take kind="cosine", or respace a longer process'
        )
    return np.linspace(scale * 1e-4, scale * 2e-2, num_steps, dtype=np.float64)


def cosine_betas(num_steps: int, *, max_beta: float = 0.999) -> np.ndarray:
    """Betas of the squared-cosine schedule (Nichol & Dhariwal 2021, equation 17), clipped at `max_beta`."""
    _checks.at_least("num_steps", num_steps, 1)
    _checks.countable("num_steps", num_steps)
    time = np.arange(num_steps + 1) / num_steps
    abar = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1.0 - abar[1:] / abar[:-1], max_beta)


_BETAS = {"linear": linear_betas, "cosine": cosine_betas}


@dataclasses.dataclass(frozen=True, eq=False)
class DDPMSchedule:
    """Tables of a (respaced) DDPM process; index 0 is the least noisy step.

    Each array is (num_steps,), float64 unless noted. `timesteps` (int64) are those of the whole process, of which
    respacing keeps a part: a network that was trained on the same process takes them as they are, any other has its own
    clock (see `NetworkPrior.predict`).

    References:
      Ho et al. 2020, equations 6 and 7 (posterior); Nichol & Dhariwal 2021, section 3 (variances, respacing).
    """

    timesteps: np.ndarray
    betas: np.ndarray
    kind: str = "linear"  # how the betas of the whole process rise
    base_steps: int = 1000  # length of the whole process

    @property
    def num_steps(self) -> int:
        return len(self.betas)

    @functools.cached_property
    def abar(self) -> np.ndarray:
        """Cumulative products of 1 - beta."""
        return np.cumprod(1.0 - self.betas)

    @functools.cached_property
    def abar_previous(self) -> np.ndarray:
        """`abar` one step nearer to the image; 1 at index 0."""
        return np.append(1.0, self.abar[:-1])

    @functools.cached_property
    def posterior_mean_x0(self) -> np.ndarray:
        """Weight of x0 in the mean of q(x_{t-1} | x_t, x0)."""
        return self.betas * np.sqrt(self.abar_previous) / (1.0 - self.abar)

    @functools.cached_property
    def posterior_mean_xt(self) -> np.ndarray:
        """Weight of x_t in the mean of q(x_{t-1} | x_t, x0)."""
        return (1.0 - self.abar_previous) * np.sqrt(1.0 - self.betas) / (1.0 - self.abar)

    @functools.cached_property
    def log_beta(self) -> np.ndarray:
        """Upper end of a learned-range log variance; "fixed large" as a variance of its own."""
        return np.log(self.betas)

    @functools.cached_property
    def posterior_log_variance(self) -> np.ndarray:
        """Lower end, log of beta_tilde ("fixed small"); index 0, where it is -inf, repeats index 1."""
        variance = self.betas * (1.0 - self.abar_previous) / (1.0 - self.abar)
        return np.log(np.append(variance[1:2] if len(variance) > 1 else self.betas, variance[1:]))


def ddpm(num_steps: int, *, base_steps: int = 1000, kind: str = "linear", spacing: str = "linspace") -> DDPMSchedule:
    """A DDPM schedule of `base_steps`, respaced to `num_steps`.

    Some timesteps are kept, and the betas are recomputed so that the cumulative products at the kept steps stay what
    they were.

    Args:
      num_steps: Steps to keep, 1 to `base_steps`.
      base_steps: Steps that the network was trained with.
      kind: "linear" or "cosine".
      spacing: Which timesteps are kept. "linspace": evenly spread from the first to the last (Nichol & Dhariwal 2021;
        DPS, DPPS, RePaint). "leading": multiples of base_steps // num_steps, so that the noisiest is one stride below
        base_steps, 990 of 1000 for 100 steps and 950 for 20 (DDNM, DDRM, RED-diff, PiGDM, DDPG). "quadratic": both
        ends, and the denser the less noisy: floor(sqrt(i / (num_steps - 1)) base_steps) below the last, for i = 0, 1,
        ... (DiffPIR).

    Returns:
      The tables of the steps that are kept.

    Raises:
      ValueError: If more steps are asked for than there are, `kind` or `spacing` is unknown, or steps are so many that
        quadratic spacing would keep some of them twice.

    Example:
      >>> jr.schedules.ddpm(5, spacing="quadratic").timesteps
      array([  0, 133, 292, 499, 999])
    """
    _checks.one_of("kind", kind, tuple(_BETAS))
    _checks.at_least("num_steps", num_steps, 1)
    if num_steps > base_steps:
        raise ValueError(f"num_steps is {num_steps}, expected at most base_steps = {base_steps}")
    return _kept(kept_timesteps(num_steps, base_steps, spacing), base_steps, kind)


def as_schedule(num_steps: int | DDPMSchedule, spacing: str = "linspace") -> DDPMSchedule:
    """A schedule as it is, or a number of steps as `ddpm(num_steps)`: the process of the published networks, respaced.

    Raises:
      ValueError: If the number is below 1 or above 1000, or a schedule is given with a spacing, which it has already.
    """
    if not isinstance(num_steps, DDPMSchedule):
        return ddpm(num_steps, spacing=spacing)
    if spacing != "linspace":
        raise ValueError(
            f"spacing is {spacing!r}, but num_steps is a schedule, which has one already; give "
            f"schedules.ddpm(..., spacing={spacing!r})"
        )
    return num_steps


def part_of(
    schedule: DDPMSchedule, *, spacing: str = "linspace", sigma_max: float = math.inf, sigma_min: float = 0.0
) -> DDPMSchedule:
    """As many steps of the same process, spread over those between two noise levels.

    For runs that begin or end in the middle, as those on several grids do: from less noise than the whole process, or
    with a last step that goes from `sigma_min` to the image.

    Args:
      schedule: The process, and how many steps to keep.
      spacing: How they are spread over the part, as in `ddpm`.
      sigma_max: Highest noise level sqrt((1 - abar) / abar) to keep.
      sigma_min: Lowest.

    Returns:
      The tables of the steps that are kept, `schedule.num_steps` of them.

    Raises:
      ValueError: If the process has fewer steps between the levels, or those of `ddpm`.
    """
    sigma = _sigmas(schedule.base_steps, schedule.kind)
    first, end = np.searchsorted(sigma, sigma_min), np.searchsorted(sigma, sigma_max, side="right")
    if schedule.num_steps > end - first:
        raise ValueError(
            f"num_steps is {schedule.num_steps}, expected at most the {end - first} steps that the process has between "
            f"noise levels {sigma_min} and {sigma_max}"
        )
    timesteps = first + kept_timesteps(schedule.num_steps, int(end - first), spacing)
    return _kept(timesteps, schedule.base_steps, schedule.kind)


def at_levels(sigmas: np.ndarray, *, base_steps: int = 1000, kind: str = "linear") -> DDPMSchedule:
    """The steps of a DDPM process whose noise levels are nearest to given ones, by ratio.

    Args:
      sigmas: Noise levels sqrt((1 - abar) / abar), in any order; levels nearest to the same step count once.
      base_steps: Length of the process.
      kind: "linear" or "cosine".

    Returns:
      The tables of those steps, at most as many as there are levels.

    Raises:
      ValueError: If a level is not finite and positive, or `kind` is unknown.

    Example:
      >>> jr.schedules.at_levels(jr.schedules.edm(4, sigma_max=10.0, sigma_min=0.1)[:-1]).timesteps
      array([ 26, 186, 470, 674])
    """
    _checks.one_of("kind", kind, tuple(_BETAS))
    levels = np.asarray(sigmas, np.float64)
    if (unfit := levels[~(np.isfinite(levels) & (levels > 0))]).size:
        raise ValueError(f"sigmas has a level of {unfit[0]}, expected finite and positive ones")
    distance = np.abs(np.log(_sigmas(base_steps, kind))[:, None] - np.log(levels))
    return _kept(np.unique(distance.argmin(0)), base_steps, kind)


def _sigmas(base_steps: int, kind: str) -> np.ndarray:
    """(base_steps,), the noise levels of a whole process."""
    abar = np.cumprod(1.0 - _BETAS[kind](base_steps))
    return np.sqrt((1.0 - abar) / abar)


def _kept(timesteps: np.ndarray, base_steps: int, kind: str) -> DDPMSchedule:
    """The schedule of some timesteps of a whole process."""
    abar = np.cumprod(1.0 - _BETAS[kind](base_steps))[timesteps]
    return DDPMSchedule(timesteps, 1.0 - abar / np.append(1.0, abar[:-1]), kind, base_steps)


def learned_range_log_variance(
    value: jax.Array, log_beta: jax.typing.ArrayLike, posterior_log_variance: jax.typing.ArrayLike
) -> jax.Array:
    """Log variance between its two bounds: f log(beta) + (1 - f) log(beta_tilde), f = (value + 1) / 2.

    Args:
      value: The network's variance channels, any shape; in [-1, 1] the result stays between the bounds.
      log_beta: Upper bound, `DDPMSchedule.log_beta` at the step.
      posterior_log_variance: Lower bound, `DDPMSchedule.posterior_log_variance` at the step.

    References:
      Nichol & Dhariwal 2021, equation 15.
    """
    fraction = (value + 1.0) / 2.0
    return fraction * like(value, log_beta) + (1.0 - fraction) * like(value, posterior_log_variance)
