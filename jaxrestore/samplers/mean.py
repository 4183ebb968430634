"""The mean of several runs of a sampler, as a sampler of its own."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior
from jaxrestore.samplers._base import Sampler, batch_axes
from jaxrestore.samplers._recipes import remembered


class MeanState(NamedTuple):
    x: jax.Array  # (H, W, C), mean over the runs
    x0: jax.Array  # (H, W, C), mean over the runs
    runs: Any  # the runs' states, with a leading axis
    index: jax.Array  # (), int32, steps taken
    key: jax.Array  # ()


@remembered
def mean_of(sampler: Sampler, num_runs: int) -> Sampler:
    """A sampler whose answer is the mean of several independent runs of another.

    The mean of posterior samples is the estimate of least squared error: smoother and nearer to the truth than any one
    of them, at as many times the cost. Its diagnostics are those of the first run.

    Args:
      sampler: Any.
      num_runs: At least 1; run i uses `fold_in(key, i)`.

    Returns:
      A sampler with a `MeanState` and the diagnostics of `sampler`; with one run, `sampler` itself.

    Raises:
      ValueError: If `num_runs` is below 1.

    Example:
      >>> jr.mean_of(jr.dps(num_steps=20), 4).num_steps
      20
    """
    _checks.at_least("mean_of", num_runs, 1)
    if num_runs == 1:
        return sampler

    def init(key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array) -> MeanState:
        def one(i: jax.typing.ArrayLike) -> Any:
            return sampler.init(jax.random.fold_in(key, i), prior, degradation, y)

        axes = batch_axes(jax.eval_shape(one, 0))
        runs = jax.vmap(one, out_axes=axes)(jnp.arange(num_runs))
        return MeanState(runs.x.mean(0), runs.x0.mean(0), runs, jnp.int32(0), key)

    def step(state: MeanState, prior: Prior, degradation: Degradation, y: jax.Array) -> tuple[MeanState, Any]:
        # One step index for all runs, from outside: loops whose length depends on it stay loops under `vmap`.
        runs = state.runs._replace(index=state.index)
        axes = batch_axes(runs)
        runs, info = jax.vmap(
            lambda run: sampler.step(run, prior, degradation, y), in_axes=(axes,), out_axes=(axes, 0)
        )(runs)
        first = jax.tree.map(lambda a: a[0], info)
        return MeanState(runs.x.mean(0), runs.x0.mean(0), runs, state.index + 1, state.key), first

    return Sampler(init, step, sampler.num_steps)
