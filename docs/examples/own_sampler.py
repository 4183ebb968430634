"""Write your own sampler from the parts.

Two ways: put parts of published methods together anew, or write the two functions `init` and `step` yourself.
Either way the result is jitted, vmapped, recorded, restored in batches and tuned as those of the library.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

import jaxrestore as jr
from jaxrestore import samplers

SIZE = 64  # small: 16
STEPS = 50  # small: 3
task = jr.task("inpainting_random", image_shape=(SIZE, SIZE, 3), rate=0.5, noise_std=0.05)
prior = jr.load_prior("photo")
key_noise, key = jax.random.split(jax.random.key(0))
photo = jnp.sin(jnp.arange(SIZE) / 5)[:, None, None] * jnp.ones((SIZE, SIZE, 3)) / 2
y = task.degradation.measure(key_noise, photo)

# %%
# **From parts.** A likelihood is a function that asks for the denoised estimate once and says which way the
# measurement pulls the noisy image. `estimate(x)` gives the denoised image and whatever comes with it; `level` tells by
# `signal` and `sigma` how noisy x = signal (x0 + sigma n) is. This one does not trust large residuals, as a robust fit
# does.


def robust(estimate, x, level, degradation, y, limit=0.2):
    """The gradient of Huber's misfit: squares up to a limit, and straight beyond it."""

    def misfit(x):
        x0, aux = estimate(x)
        residual = degradation.operator(x0) - y
        size = jnp.abs(residual)
        return jnp.where(size < limit, size**2 / 2, limit * (size - limit / 2)).sum(), (
            x0,
            aux,
            jnp.linalg.norm(residual),
        )

    (_, (x0, aux, residual)), gradient = jax.value_and_grad(misfit, has_aux=True)(x)
    return samplers.LikelihoodGradient(gradient, residual, x0, aux)


# %%
# It goes into SPGD's levels, or into ancestral steps with DPPS's choice among candidates:
schedule = jr.schedules.ddpm(STEPS)
mine = {
    "robust SPGD": jr.spgd(num_steps=STEPS, warmup_steps=2, learning_rate=0.5, likelihood=robust),
    "robust, best of 8": samplers.ancestral(
        samplers.guided(robust, schedule, scale=0.5), choose=samplers.best_of(schedule, 8)
    ),
}

# %%
# **From nothing.** The state holds what the next step needs, `x` among it; the info is what one may want to plot.
# This one denoises, puts what was measured in its place, and adds the noise of the next level.


class State(NamedTuple):
    x: jax.Array  # (H, W, C), noisy image; after the last step, the answer
    x0: jax.Array  # (H, W, C), the estimate of the last step
    index: jax.Array  # (), int32, steps taken
    key: jax.Array  # (), step i draws from fold_in(key, i)


class Info(NamedTuple):
    residual: jax.Array  # (), ||A(x0) - y||_2


def replacement(num_steps: int) -> jr.Sampler:
    """Denoise, replace, add noise."""
    sigmas = jnp.asarray(jr.schedules.edm(num_steps, sigma_max=10.0), jnp.float32)

    def init(key, prior, degradation, y):
        start, steps = jax.random.split(key)
        x = sigmas[0] * jax.random.normal(start, degradation.image_shape)
        return State(x, jnp.zeros_like(x), jnp.int32(0), steps)

    def step(state, prior, degradation, y):
        x0 = prior.denoise(state.x, sigmas[state.index])
        residual = y - degradation.operator(x0)
        x0 = x0 + degradation.operator.adjoint(residual)
        noise = jax.random.normal(jax.random.fold_in(state.key, state.index), x0.shape)
        x = x0 + sigmas[state.index + 1] * noise
        return State(x, x0, state.index + 1, state.key), Info(jnp.linalg.norm(residual))

    return jr.Sampler(init, step, num_steps)


mine["replacement"] = replacement(STEPS)
for name, sampler in mine.items():
    result = jax.jit(sampler.sample)(key, prior, task.degradation, y)
    print(f"{name:18} {jr.metrics.psnr(jnp.clip(result.image, -1, 1), photo):5.1f} dB")

# %%
# A row in `jr.METHODS` makes the command line, the tuner and the benchmarks know it:
# [Contributing](../decisions/contributing.md).
