"""What the suite measures: each case builds a jitted function of (prior, images, measurements)."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxrestore as jr
from jaxrestore import methods
from jaxrestore.methods import Evaluations
from jaxrestore.samplers._base import batch_axes

LEVEL = 0.5  # noise level of single evaluations; speed does not depend on it
CANDIDATES = (1, 2, 10, 50)


class Case(NamedTuple):
    """A function to time."""

    run: Callable[..., jax.Array]  # (prior, x (B, H, W, C), y (B, h, w, C)) -> images (B, H, W, C)
    turns: int  # how often one call does what the case is named after
    evaluations: Evaluations  # of the network in one call, for each image
    description: str


def degradation(size: int) -> jr.Degradation:
    """Super-resolution x4, as everywhere in the suite: its operator costs next to nothing."""
    return jr.Degradation(jr.operators.SuperResolution((size, size, 3), 4, kernel="average"), jr.GaussianNoise(0.01))


def _denoise_loop(size: int, turns: int) -> Case:
    def run(prior, x, y):
        def body(x, _):
            return jax.vmap(lambda x: prior.denoise(x, jnp.float32(LEVEL)))(x), None

        return jax.lax.scan(body, x, length=turns)[0]

    return Case(run, turns, Evaluations(turns), "forward pass of the network, inside a scan")


def _gradient_loop(size: int, turns: int) -> Case:
    operator = degradation(size).operator

    def run(prior, x, y):
        def loss(x, y):
            return jnp.sum(jnp.square(operator(prior.denoise(x, jnp.float32(LEVEL))) - y))

        def body(x, _):
            return x - 1e-3 * jax.vmap(jax.grad(loss))(x, y), None

        return jax.lax.scan(body, x, length=turns)[0]

    description = "input gradient of a likelihood through the network, inside a scan"
    return Case(run, turns, Evaluations(turns, turns), description)


def _batched_steps(sampler: jr.Sampler, size: int, index: int, turns: int) -> Callable[..., jax.Array]:
    """`turns` times the sampler's step at `index`, for a batch."""
    reduction = degradation(size)

    def run(prior, x, y):
        keys = jax.random.split(jax.random.key(0), len(x))

        def start(key, y):
            return sampler.init(key, prior, reduction, y)

        axes = batch_axes(jax.eval_shape(start, keys[0], y[0]))
        state = jax.vmap(start, out_axes=axes)(keys, y)._replace(x=x, index=jnp.int32(index))

        def step(state, y):
            return sampler.step(state, prior, reduction, y)[0]

        def body(state, _):
            return jax.vmap(step, in_axes=(axes, 0), out_axes=axes)(state, y)._replace(index=jnp.int32(index)), None

        return jax.lax.scan(body, state, length=turns)[0].x

    return run


def _spgd_step(size: int, turns: int) -> Case:
    run = _batched_steps(jr.spgd(num_steps=2, warmup_steps=turns), size, 0, 1)
    return Case(run, turns, Evaluations(turns, turns), "likelihood step of SPGD, inside its loop")


def _dpps_step(size: int, turns: int, *, candidates: int) -> Case:
    sampler = jr.dps(num_steps=1000) if candidates == 1 else jr.dpps(num_steps=1000, n_max=candidates)
    # At the second last step the signal is strong, so all candidates are drawn.
    run = _batched_steps(sampler, size, sampler.num_steps - 2, turns)
    return Case(run, turns, Evaluations(turns, turns), f"step of DPPS with {candidates} candidates (1: DPS)")


def _sampler(size: int, turns: int, *, method: str, settings: Mapping[str, Any]) -> Case:
    row = methods.get(method)
    sampler, reduction = row.build(**settings), degradation(size)

    def run(prior, x, y):
        keys = jax.random.split(jax.random.key(0), len(y))
        return jax.vmap(lambda key, y: sampler.sample(key, prior, reduction, y).image)(keys, y)

    words = ", ".join(f"{name}={value}" for name, value in settings.items())
    return Case(run, 1, row.evaluations(settings), f"whole {method} sampler, {words}")


# Cases of one group are timed in turns, so their ratios are fair.
GROUPS: dict[str, dict[str, Callable[[int, int], Case]]] = {
    "steps": {
        "forward": _denoise_loop,
        "gradient": _gradient_loop,
        "spgd_step": _spgd_step,
        **{f"dpps_step_{n}": functools.partial(_dpps_step, candidates=n) for n in CANDIDATES},
    },
    "short samplers": {
        "spgd_short": functools.partial(_sampler, method="spgd", settings={"num_steps": 3, "warmup_steps": 4}),
        "dps_short": functools.partial(_sampler, method="dps", settings={"num_steps": 20}),
        "dpps_short": functools.partial(_sampler, method="dpps", settings={"num_steps": 20}),
    },
    "published samplers": {
        "spgd_published": functools.partial(_sampler, method="spgd", settings={"num_steps": 100, "warmup_steps": 5}),
        "dps_published": functools.partial(_sampler, method="dps", settings={"num_steps": 1000}),
        "dpps_published": functools.partial(_sampler, method="dpps", settings={"num_steps": 1000}),
    },
}
CASES = {name: make for group in GROUPS.values() for name, make in group.items()}
