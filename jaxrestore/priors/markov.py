"""Markov chains on a grid of values: priors with edges whose denoisers and posteriors are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree, static
from jaxrestore.degradation import Degradation
from jaxrestore.noise import GaussianNoise
from jaxrestore.operators import Denoising, HighDynamicRange, Inpainting
from jaxrestore.priors._base import Prediction, predict_from_denoiser
from jaxrestore.schedules import DDPMSchedule

# Of transitions, exp(-60) = 9e-27. The recursions multiply probabilities, and float32 has none below 1e-38: with this
# floor what is lost there is 1e-12 of any sum, whatever the measurement, and no sum is 0.
LOWEST = -60.0


@pytree
class MarkovChainPrior:
    """Signals of N samples with independent steps: u_1 ~ initial, u_{i+1} ~ transition(u_i, .), on a grid of G values.

    For judging samplers where no Gaussian is near: steps with heavy tails, or steps that are mostly zero, give signals
    with edges. The discrete chain is the prior itself and no approximation of one, so the sum over all G^N signals that
    a posterior mean is comes out exactly, in N G^2 operations, by the forward-backward recursions of hidden Markov
    models. Between two grid values a denoised sample is an average; draws lie on the grid.

    References:
      Rabiner, A Tutorial on Hidden Markov Models, Proceedings of the IEEE 1989; Bohra et al., A Statistical Framework
      to Investigate the Optimality of Signal-Reconstruction Methods, IEEE Transactions on Signal Processing 2023.
    """

    grid: jax.Array  # (G,), ascending at equal distances
    log_initial: jax.Array  # (G,), log-probabilities of the first sample; -inf where it cannot be
    log_transition: jax.Array  # (G, G), from row to column, log-probabilities, not below `LOWEST`; see `from_steps`
    num_samples: int = static()  # N

    @classmethod
    def from_steps(
        cls,
        num_samples: int,
        grid: jax.typing.ArrayLike,
        log_steps: jax.typing.ArrayLike,
        *,
        log_initial: jax.typing.ArrayLike | None = None,
    ) -> "MarkovChainPrior":
        """A prior from the probabilities of steps; everything is normalised, once, in float64.

        Args:
          num_samples: N, at least 1.
          grid: (G,), ascending at equal distances, e.g. `np.linspace(-1, 1, 201)`.
          log_steps: (G, G), logarithms of the probabilities of going from row to column, each row up to a constant,
            e.g. `laplace_steps(grid, 0.05)`. Probabilities below exp(-60), also 0, are raised to that.
          log_initial: (G,), the same of the first sample; uniform by default.

        Raises:
          ValueError: If the shapes do not fit, the grid is not equally spaced, or a row has no finite probability.
        """
        _checks.at_least("num_samples", num_samples, 1)
        grid = _grid(grid)
        count = len(grid)
        start = np.zeros(count) if log_initial is None else np.asarray(log_initial, np.float64)
        steps = np.asarray(log_steps, np.float64)
        if steps.shape != (count, count) or start.shape != (count,):
            raise ValueError(
                f"shapes of log_steps {steps.shape} and log_initial {start.shape} do not fit; "
                f"expected ({count}, {count}) and ({count},) for a grid of {count} values"
            )
        steps = _normalised(np.maximum(_normalised(steps), LOWEST))
        arrays = (grid, _normalised(start), steps)
        return cls(*(jnp.asarray(a) for a in arrays), num_samples=num_samples)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(N, 1, 1)."""
        return (self.num_samples, 1, 1)

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """E[x0 | x] for x = x0 + sigma n, exactly; x (N, 1, 1), sigma a positive scalar."""
        return self._given(x, sigma).mean()

    def variance(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """Var[x0 | x] of each sample, (N, 1, 1): sigma^2 times the diagonal of the denoiser's Jacobian."""
        return self._given(x, sigma).variance()

    def log_density(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """The logarithm of the noisy signal's density, (): `denoise` is x + sigma^2 times its gradient (Tweedie)."""
        return self._given(x, sigma).log_evidence()

    def nearest(self, x: jax.Array) -> jax.Array:
        """The signal whose samples are the grid values next to those of x, (N, 1, 1)."""
        return self.grid[self._levels(x)].reshape(self.image_shape)

    def log_probability(self, x: jax.Array) -> jax.Array:
        """The logarithm of the prior's probability of `nearest(x)`, ()."""
        levels = self._levels(x)
        return self.log_initial[levels[0]] + jnp.sum(self.log_transition[levels[:-1], levels[1:]])

    def posterior_sample(self, key: jax.Array, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """One draw of x0 given x = x0 + sigma n, (N, 1, 1)."""
        return self._given(x, sigma).sample(key)

    def predict(self, x_t: jax.Array, t: jax.Array, schedule: DDPMSchedule) -> Prediction:
        """The reverse step at index `t` of `schedule`, with variance beta_tilde."""
        return predict_from_denoiser(self.denoise, x_t, t, schedule)

    def sample(self, key: jax.Array) -> jax.Array:
        """One signal (N, 1, 1)."""

        def step(log_probability, i):
            level = jax.random.categorical(jax.random.fold_in(key, i), log_probability)
            return self.log_transition[level], level

        _, levels = jax.lax.scan(step, self.log_initial, jnp.arange(self.num_samples))
        return self.grid[levels].reshape(self.image_shape)

    def posterior(self, degradation: Degradation, y: jax.Array) -> "ChainPosterior":
        """The exact posterior given y = A(x) + std n, for an operator that acts on each sample alone.

        Raises:
          TypeError: If the operator mixes samples, or the noise is not Gaussian.
          ValueError: If the shapes do not fit, or the noise is zero.
        """
        operator = degradation.operator
        if not isinstance(operator, Denoising | HighDynamicRange | Inpainting):
            raise TypeError(
                f"{type(operator).__name__} may mix samples, expected Denoising, HighDynamicRange or Inpainting; "
                "for other linear operators draw from the posterior with jaxrestore.priors.gibbs"
            )
        std = noise_std(self, degradation, y)
        levels = jnp.broadcast_to(self.grid[:, None, None, None], (len(self.grid), *self.image_shape))
        predicted = jax.vmap(operator)(levels).reshape(len(self.grid), -1).T
        prior = jax.tree.map(lambda a: like(y, a), self)
        return ChainPosterior(prior, *_log_likelihood(y, like(y, predicted), like(y, std)))

    def _levels(self, x: jax.Array) -> jax.Array:
        """Indices of the grid values next to x, (N,)."""
        _checks.array("x", x, self.image_shape)
        place = (x.ravel() - self.grid[0]) / (self.grid[-1] - self.grid[0]) * (len(self.grid) - 1)
        return jnp.clip(jnp.round(place), 0, len(self.grid) - 1).astype(int)

    def _given(self, x: jax.Array, sigma: jax.Array) -> "ChainPosterior":
        """Of x0 given x = x0 + sigma n."""
        _checks.array("x", x, self.image_shape)
        prior = jax.tree.map(lambda a: like(x, a), self)  # the recursions carry numbers of one dtype
        return ChainPosterior(prior, *_log_likelihood(x, prior.grid[None, :], like(x, sigma)))


@pytree
class ChainPosterior:
    """The exact posterior of a chain given a measurement of each sample; see `MarkovChainPrior.posterior`.

    Each method runs the recursions it needs; under `jax.jit` those of several are shared. The recursions go on with
    normalised probabilities, a matrix-vector product a sample, and weigh measurements in logarithms, where they may
    contradict the prior, or each other, as much as they like.
    """

    prior: MarkovChainPrior
    log_likelihood: jax.Array  # (N, G), log p(y_i | u_i) less its largest value at each sample
    log_largest: jax.Array  # (), the sum of these largest values

    def mean(self) -> jax.Array:
        """E[x0 | y], (N, 1, 1)."""
        return _product(self.marginals(), self.prior.grid).reshape(self.prior.image_shape)

    def variance(self) -> jax.Array:
        """Var[x0 | y] of each sample, (N, 1, 1)."""
        marginals = self.marginals()
        centred = self.prior.grid - _product(marginals, self.prior.grid)[:, None]
        return jnp.sum(marginals * jnp.square(centred), 1).reshape(self.prior.image_shape)

    def marginals(self) -> jax.Array:
        """p(u_i = grid_k | y), (N, G), rows sum to 1: for credible intervals, and distances of distributions."""
        log_filtered, _ = self._forward()
        return jax.nn.softmax(log_filtered + self._backward())

    def log_evidence(self) -> jax.Array:
        """The logarithm of the measurement's density, ()."""
        return jnp.sum(self._forward()[1]) + self.log_largest

    def sample(self, key: jax.Array) -> jax.Array:
        """One draw (N, 1, 1): the last sample as filtered, then each one given the sample after it."""
        log_filtered, _ = self._forward()

        def step(log_after, xs):
            i, log_filtered = xs
            level = jax.random.categorical(jax.random.fold_in(key, i), log_filtered + log_after)
            return self.prior.log_transition[:, level], level

        places = jnp.arange(len(log_filtered))
        _, levels = jax.lax.scan(step, jnp.zeros_like(self.prior.grid), (places, log_filtered), reverse=True)
        return self.prior.grid[levels].reshape(self.prior.image_shape)

    def _forward(self) -> tuple[jax.Array, jax.Array]:
        """Filtering: log p(u_i | y_1 .. y_i), (N, G), and log p(y_i | y_1 .. y_{i-1}), (N,), less `log_largest`."""
        transition = jnp.exp(self.prior.log_transition)

        def step(log_predicted, log_likelihood):
            log_joint = log_predicted + log_likelihood
            log_total = logsumexp(log_joint)
            log_filtered = log_joint - log_total
            return jnp.log(_product(jnp.exp(log_filtered), transition)), (log_filtered, log_total)

        return jax.lax.scan(step, self.prior.log_initial, self.log_likelihood)[1]

    def _backward(self) -> jax.Array:
        """What comes after: log p(y_{i+1} .. y_N | u_i), (N, G), each row up to a constant."""
        transition = jnp.exp(self.prior.log_transition)

        def step(log_after, log_likelihood):
            log_before = jnp.log(_product(transition, jax.nn.softmax(log_likelihood + log_after)))
            return log_before, log_before

        last = jnp.zeros_like(self.prior.grid)
        _, earlier = jax.lax.scan(step, last, self.log_likelihood[1:], reverse=True)
        return jnp.concatenate([earlier, last[None]])


def gaussian_steps(grid: jax.typing.ArrayLike, scale: float) -> np.ndarray:
    """Steps N(0, scale^2): smooth signals. (G,) gives (G, G), logarithms, float64.

    Here as for all kinds of steps the density is taken at the grid's differences and each row is normalised on the
    grid: a step that would leave it is drawn again.
    """
    _checks.positive("scale", scale)
    return _normalised(-0.5 * np.square(_differences(grid) / scale))


def laplace_steps(grid: jax.typing.ArrayLike, scale: float) -> np.ndarray:
    """Steps with density exp(-|d| / scale): the prior behind total variation. (G,) gives (G, G)."""
    _checks.positive("scale", scale)
    return _normalised(-np.abs(_differences(grid)) / scale)


def student_steps(grid: jax.typing.ArrayLike, scale: float, df: float) -> np.ndarray:
    """`scale` times Student's t with `df` degrees of freedom: rare large steps; df = 1 is Cauchy. (G,) gives (G, G)."""
    _checks.positive("scale", scale)
    _checks.positive("df", df)
    return _normalised(-0.5 * (df + 1) * np.log1p(np.square(_differences(grid) / scale) / df))


def sparse_steps(grid: jax.typing.ArrayLike, scale: float, rate: float) -> np.ndarray:
    """No step with probability 1 - rate, else a Laplace step that is not 0: constant pieces. (G,) gives (G, G).

    Of `num_samples - 1` steps, `rate * (num_samples - 1)` are jumps on average, from any value.
    """
    _checks.positive("scale", scale)
    _checks.within("rate", rate, 1e-12, 1 - 1e-12)
    differences = _differences(grid)
    stay = np.eye(len(differences), dtype=bool)
    jumps = _normalised(np.where(stay, -np.inf, -np.abs(differences) / scale))
    return np.where(stay, np.log1p(-rate), np.log(rate) + jumps)


def noise_std(prior: MarkovChainPrior, degradation: Degradation, y: jax.Array) -> jax.typing.ArrayLike:
    """Of the measurement; raises unless `y` is one with Gaussian noise of such signals."""
    noise = degradation.noise
    if not isinstance(noise, GaussianNoise):
        raise TypeError(f"noise is {type(noise).__name__}, expected GaussianNoise")
    _checks.positive("noise.std", noise.std)
    if tuple(degradation.image_shape) != prior.image_shape:
        raise ValueError(
            f"the operator takes images {tuple(degradation.image_shape)}, the prior's are {prior.image_shape}"
        )
    _checks.array("y", y, degradation.measurement_shape)
    return noise.std


def _log_likelihood(y: jax.Array, predicted: jax.Array, std: jax.typing.ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Logarithms of N(y_i; predicted_ik, std^2) less its maximum over k, (N, G), and the sum of these maxima, ().

    predicted: (N, G) or (1, G). The difference of squares is written as a product: far from the grid, where samplers
    start, both squares are large and nearly equal.
    """
    residual = y.reshape(-1, 1) - predicted
    nearest = jnp.argmin(jnp.abs(residual), 1, keepdims=True)
    smallest = jnp.take_along_axis(residual, nearest, 1)
    closer = jnp.take_along_axis(jnp.broadcast_to(predicted, residual.shape), nearest, 1) - predicted
    log_likelihood = -0.5 * (closer / std) * ((residual + smallest) / std)
    log_largest = -0.5 * jnp.square(smallest / std) - jnp.log(std) - 0.5 * np.log(2 * np.pi)
    return log_likelihood, jnp.sum(log_largest)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    # Full precision: probabilities rounded to TensorFloat-32 would err by 1e-3 in the denoised image.
    return jnp.matmul(a, b, precision="highest")


def _grid(grid: jax.typing.ArrayLike) -> np.ndarray:
    values = np.asarray(grid, np.float64)
    steps = np.diff(values)
    # float32's linspace is equally spaced to about 1e-7 of its range.
    if values.ndim != 1 or len(values) < 2 or steps.min() <= 0 or np.ptp(steps) > 1e-2 * steps.mean():
        raise ValueError(f"grid is {grid}, expected ascending values at equal distances, e.g. np.linspace(-1, 1, 201)")
    return values


def _differences(grid: jax.typing.ArrayLike) -> np.ndarray:
    """(G, G), column less row."""
    values = _grid(grid)
    return values[None, :] - values[:, None]


def _normalised(logs: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities that sum to 1 over the last axis."""
    largest = logs.max(-1, keepdims=True)
    if not np.isfinite(largest).all():
        raise ValueError("log-probabilities have a row without a finite largest value")
    shifted = logs - largest
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
