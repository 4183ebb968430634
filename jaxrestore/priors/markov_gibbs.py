"""Draws from the posterior of a Markov chain given a measurement that mixes its samples, and whether they converged."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore.degradation import Degradation
from jaxrestore.priors.markov import MarkovChainPrior, noise_std


def gibbs(
    key: jax.Array,
    prior: MarkovChainPrior,
    degradation: Degradation,
    y: jax.Array,
    *,
    num_chains: int,
    num_samples: int,
    burn_in: int,
    thin: int = 1,
    initial: jax.Array | None = None,
) -> jax.Array:
    """Draw signals from the posterior given y = A u + std n, for any linear A, with many chains of Gibbs's sampler.

    A reference for other samplers: it errs by the Monte Carlo error alone, once `r_hat` says that the chains have
    forgotten where they started. A sweep passes three times over the signal and lets every sample i be the first of

    - one sample: the usual Gibbs sampler, in which an edge moves place by place and a level hardly ever;
    - the run of equal values from i on: a new level, and at once an end that may move by 1, 2, 4 or 8 samples, drawn
      from their joint distribution. Levels and places of edges move, and edges come and go;
    - a block of 2, 4, 8, ... or N samples, at random, shifted by a common number of grid steps. To the end of the
      signal this is the Gibbs sampler of the steps, fast where the likelihood says little (Yu and Meng); shorter
      blocks serve the scales in between (Goodman and Sokal).

    Shifts are drawn from all that keep the block on the grid, by the likelihood and the steps at the block's two
    borders, and accepted by the steps within (Metropolis and Hastings): where rows of the transition matrix differ by
    what the grid's ends cut off, these change a little. A sweep costs 3 N moves of O(N + G + M) for M numbers measured.

    With noise below a grid step a signal of constant pieces mixes slowly: its posterior is a few isolated signals. Of
    64 samples blurred over nine, the largest R-hat after 400 sweeps was 1.04 with noise of two grid steps, 1.15 with
    one, and with half a step some samples never moved: there these chains are no reference, and `r_hat` says so.
    Under `jax.jit` the four counts are static.

    Args:
      key: Split among the chains.
      prior: Of signals (N, 1, 1).
      degradation: A linear operator and Gaussian noise.
      y: The measurement.
      num_chains: Independent chains.
      num_samples: Draws kept of each chain.
      burn_in: Sweeps at the start that are dropped, not negative.
      thin: Sweeps for each draw.
      initial: (num_chains, N, 1, 1), moved to the nearest grid values. By default draws from the prior, which are
        spread more widely than the posterior, as `r_hat` asks for.

    Returns:
      (num_chains, num_samples, N, 1, 1).

    Raises:
      TypeError: If the operator is not linear or the noise not Gaussian.
      ValueError: If the shapes do not fit, or the noise is zero.

    References:
      Geman and Geman, Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images, TPAMI 1984;
      Goodman and Sokal, Multigrid Monte Carlo Method, Physical Review D 1989; Liu and Sabatti, Generalised Gibbs
      Sampler and Multigrid Monte Carlo for Bayesian Computation, Biometrika 2000; Yu and Meng, To Center or Not to
      Center: That Is Not the Question, JCGS 2011.
    """
    for name, count, least in (("num_chains", num_chains, 1), ("num_samples", num_samples, 1), ("thin", thin, 1)):
        _checks.at_least(name, count, least)
    _checks.at_least("burn_in", burn_in, 0)
    if not degradation.operator.linear:
        raise TypeError(f"{type(degradation.operator).__name__} is not linear, expected a linear operator")
    target = _target(prior, degradation, y)
    key_start, key_sweeps = jax.random.split(key)
    if initial is None:
        initial = jax.vmap(prior.sample)(jax.random.split(key_start, num_chains))
    _checks.array("initial", initial, (num_chains, *prior.image_shape))

    def chain(key, start):
        def sweep(i, levels):
            return _sweep(target, jax.random.fold_in(key, i), levels)

        def draw(levels, i):
            # The burn-in belongs to the first draw: as a loop of its own it would be compiled again.
            done = burn_in + i * thin
            levels = jax.lax.fori_loop(jnp.where(i > 0, done, 0), done + thin, sweep, levels)
            return levels, levels

        nearest = jnp.argmin(jnp.abs(start.reshape(-1, 1) - prior.grid), 1)
        return jax.lax.scan(draw, nearest, jnp.arange(num_samples))[1]

    levels = jax.vmap(chain)(jax.random.split(key_sweeps, num_chains), initial)
    return prior.grid[levels].reshape(num_chains, num_samples, *prior.image_shape)


def r_hat(samples: jax.Array) -> jax.Array:
    """How much wider all chains are together than one: 1 when they agree, above it when they do not.

    Every chain is cut into halves, so that a chain that still drifts disagrees with itself. Vehtari et al. ask for
    less than 1.01; chains above 1.1 have not mixed.

    Args:
      samples: (chains, draws, ...), at least 4 draws, after burn-in, of chains that started far apart.

    Returns:
      The split R-hat of each number, in the shape of one draw; 1 where no chain ever moves and all agree.

    Raises:
      ValueError: If there are fewer than 4 draws.

    References:
      Gelman et al., Bayesian Data Analysis, 3rd edition, 2013, section 11.4; Vehtari et al., Rank-Normalization,
      Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC, Bayesian Analysis 2021.
    """
    _checks.at_least("the number of draws", samples.shape[1], 4)
    half = samples.shape[1] // 2
    halves = jnp.concatenate([samples[:, :half], samples[:, -half:]])
    within = jnp.mean(jnp.var(halves, 1, ddof=1), 0)
    between = jnp.var(jnp.mean(halves, 1), 0, ddof=1)
    moved = within > 0
    ratio = jnp.sqrt((half - 1) / half + between / jnp.where(moved, within, 1.0))
    return jnp.where(moved, ratio, jnp.where(between > 0, jnp.inf, 1.0))


class _Target(NamedTuple):
    """The posterior of the levels (N,), indices into the grid, as moves look at it."""

    log_initial: jax.Array  # (G,)
    log_step: jax.Array  # (G, G), from row to column
    log_back: jax.Array  # (G, G), its transpose: a row is what leads to one level
    offset: jax.Array  # (M,), the residual of the lowest signal, in standard deviations of the noise
    columns: jax.Array  # (N, M), what one grid step of each sample adds to the measurement, in the same units
    sums: jax.Array  # (N + 1, M), of the columns before each sample: a block's sum is the difference of two


class _State(NamedTuple):
    levels: jax.Array  # (N,), int32
    residual: jax.Array  # (M,), measurement less prediction, in standard deviations of the noise


def _target(prior: MarkovChainPrior, degradation: Degradation, y: jax.Array) -> _Target:
    std = noise_std(prior, degradation, y)
    basis = jnp.eye(prior.num_samples).reshape(-1, *prior.image_shape)
    columns = jax.vmap(degradation.operator)(basis).reshape(len(basis), -1) / std
    offset = y.ravel() / std - prior.grid[0] * jnp.sum(columns, 0)
    columns = columns * (prior.grid[-1] - prior.grid[0]) / (len(prior.grid) - 1)
    sums = jnp.pad(jnp.cumsum(columns, 0), ((1, 0), (0, 0)))
    return _Target(prior.log_initial, prior.log_transition, prior.log_transition.T, offset, columns, sums)


def _sweep(target: _Target, key: jax.Array, levels: jax.Array) -> jax.Array:
    """Three passes over the samples, one for each kind of move."""
    count = len(levels)
    key_length, key_reach, key_sign, key_draw = jax.random.split(key, 4)
    scales = max(count - 1, 1).bit_length()
    lengths = 2 ** jax.random.randint(key_length, (count,), 1, scales + 1)
    reaches = 2 ** jax.random.randint(key_reach, (count,), 0, 4) * jax.random.rademacher(key_sign, (count,), int)
    draws = jax.random.uniform(key_draw, (count, 5))
    # Computed anew, so that rounding errors of the updates do not add up from sweep to sweep.
    residual = target.offset - jnp.matmul(levels.astype(jnp.float32), target.columns, precision="highest")

    def alone(state, xs):
        first, draws = xs
        return _shift(target, state, first, 1, draws), None

    def runs(state, xs):
        first, reach, draw = xs
        return _redraw(target, state, first, reach, draw), None

    def blocks(state, xs):
        first, length, draws = xs
        return _shift(target, state, first, length, draws), None

    # One pass after the other, and always from the start to the end: all moves of a sample in turn, or sweeps to and
    # fro, were measured to mix smooth signals half as fast.
    state, firsts = _State(levels, residual), jnp.arange(count)
    state, _ = jax.lax.scan(alone, state, (firsts, draws[:, :2]))
    state, _ = jax.lax.scan(runs, state, (firsts, reaches, draws[:, 2]))
    state, _ = jax.lax.scan(blocks, state, (firsts, lengths, draws[:, 3:]))
    return state.levels


def _shift(target: _Target, state: _State, first: jax.Array, length: jax.Array | int, draws: jax.Array) -> _State:
    """Shift the block of `length` samples from `first` on, given two uniform draws (2,)."""
    levels, residual = state
    count = len(levels)
    end = jnp.minimum(first + length, count)
    places, choices = jnp.arange(count), jnp.arange(len(target.log_initial))  # of the block's first sample
    block = (places >= first) & (places < end)

    # The factors that any shift changes: the steps into and out of the block, and the likelihood.
    shifts = choices - levels[first]
    into = _before(target, levels, first)
    out_of = _after(target, levels, end)[jnp.clip(levels[end - 1] + shifts, 0, len(choices) - 1)]
    column = target.sums[end] - target.sums[first]
    fit = shifts * jnp.sum(column * residual) - 0.5 * jnp.square(shifts) * jnp.sum(jnp.square(column))
    allowed = shifts >= -jnp.min(jnp.where(block, levels, len(choices)))
    allowed &= shifts < len(choices) - jnp.max(jnp.where(block, levels, -1))
    choice = _draw(draws[0], jnp.where(allowed, into + out_of + fit, -jnp.inf))

    # What these factors leave out: the steps within the block.
    shifted = jnp.where(block, levels + shifts[choice], levels)
    within = block & (places > first)
    change = target.log_step[shifted[:-1], shifted[1:]] - target.log_step[levels[:-1], levels[1:]]
    accepted = jnp.log(draws[1]) < jnp.sum(jnp.where(within[1:], change, 0.0))
    shift = jnp.where(accepted & allowed[choice], shifts[choice], 0)
    return _State(jnp.where(block, levels + shift, levels), residual - shift * column)


def _redraw(target: _Target, state: _State, first: jax.Array, reach: jax.Array, draw: jax.Array) -> _State:
    """Draw the level of the run of equal values from `first` on, and whether it ends where it does or `reach` later."""
    levels, residual = state
    count = len(levels)
    places, choices = jnp.arange(count), jnp.arange(len(target.log_initial))
    end = jnp.min(jnp.where((places > first) & (levels != levels[first]), places, count))
    level = levels[jnp.minimum(end, count - 1)]  # of the run that follows
    end_of_next = jnp.min(jnp.where((places > end) & (levels != level), places, count))
    ends = jnp.stack([end, end + reach])
    possible = jnp.array([True, False]) | ((ends > first) & (ends < end_of_next) & (end < count))

    # Two changes of the likelihood: the end moves, and then the level. Both are taken from the signal as it is: against
    # any signal that fits badly they would be small differences of large numbers.
    columns = target.sums[jnp.clip(ends, 0, count)] - target.sums[first]  # (2, M)
    moved = (levels[first] - level) * (columns - columns[0])
    residuals = residual - moved
    shifts = choices - levels[first]
    fit = jnp.sum(moved * residual - 0.5 * jnp.square(moved), 1, keepdims=True)
    fit += shifts * jnp.sum(columns * residuals, 1, keepdims=True)
    fit -= 0.5 * jnp.square(shifts) * jnp.sum(jnp.square(columns), 1, keepdims=True)

    stay = jnp.diagonal(target.log_step)
    steps = _before(target, levels, first) + _after(target, levels, end)
    steps += (ends - first - 1)[:, None] * stay + ((end_of_next - ends - 1) * stay[level])[:, None]
    allowed = possible[:, None] & ((choices != level) | (end == count))
    choice = _draw(draw, jnp.where(allowed, steps + fit, -jnp.inf).ravel())
    choice = jnp.where(allowed.ravel()[choice], choice, levels[first])
    which, new = choice // len(choices), choice % len(choices)

    block = (places >= first) & (places < jnp.max(ends * possible))
    levels = jnp.where(block, jnp.where(places < ends[which], new, level), levels)
    return _State(levels, residuals[which] - shifts[new] * columns[which])


def _before(target: _Target, levels: jax.Array, place: jax.Array) -> jax.Array:
    """Logarithms, (G,): of the step from the sample before `place` to each level."""
    return jnp.where(place > 0, target.log_step[levels[place - 1]], target.log_initial)


def _after(target: _Target, levels: jax.Array, end: jax.Array) -> jax.Array:
    """Logarithms, (G,): of the step from each level to the sample at `end`."""
    count = len(levels)
    return jnp.where(end < count, target.log_back[levels[jnp.minimum(end, count - 1)]], 0.0)


def _draw(uniform: jax.Array, log_weights: jax.Array) -> jax.Array:
    """An index, by inverting the distribution function: one draw where Gumbel's trick takes one for each weight.

    Rounding in a parallel sum can choose a neighbour of weight 0 once in millions of draws; callers then stay.
    """
    cumulated = jnp.cumsum(jnp.exp(log_weights - jnp.max(log_weights)))
    return jnp.minimum(jnp.sum(cumulated <= uniform * cumulated[-1]), len(log_weights) - 1)
