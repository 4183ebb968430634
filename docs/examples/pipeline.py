"""Embed a sampler in a vmapped and sharded pipeline.

A sampler is a pure function of one image, so whatever surrounds it can be vmapped and jitted with it. Here each
image has a mask of its own; reading, restoring and scoring are one compiled program, spread over the devices.
"""

import jax
import jax.numpy as jnp

import jaxrestore as jr
from jaxrestore import parallel

SIZE = 64  # small: 16
COUNT = 4  # small: 2
STEPS = 50  # small: 2
shape = (SIZE, SIZE, 3)
prior = jr.load_prior("photo")


# %%
# The pipeline for one image: what is known is measured, restored, and compared with the truth. Settings may be
# arguments too: the sampler is made inside.
def pipeline(key, prior, photo, scale):
    """A photograph (H, W, C) to its restoration and how good it is."""
    key_mask, key_noise, key_sampler = jax.random.split(key, 3)
    mask = jr.operators.random_mask(key_mask, shape, 0.5)
    degradation = jr.Degradation(jr.operators.Inpainting(mask), jr.GaussianNoise(0.02))
    y = degradation.measure(key_noise, photo)
    image = jr.dps(num_steps=STEPS, scale=scale).sample(key_sampler, prior, degradation, y).image
    return image, jr.metrics.psnr(jnp.clip(image, -1, 1), photo)


# %%
# `vmap` over images, and once more over settings; the prior is shared. Batch mates do not change an image.
over_images = jax.vmap(pipeline, in_axes=(0, None, 0, None))
over_settings = jax.jit(jax.vmap(over_images, in_axes=(None, None, None, 0)))
keys = jax.random.split(jax.random.key(0), COUNT)
photos = jnp.stack([jnp.sin(jnp.arange(SIZE) / (4 + i))[:, None, None] * jnp.ones(shape) / 2 for i in range(COUNT)])
scales = jnp.array([1.0, 4.0])

# %%
# The images go to the devices of this process, an equal number each; the prior is whole on every one. On one device
# the same lines do nothing.
mesh = parallel.batch_mesh()
if COUNT % mesh.size == 0:
    keys, photos = parallel.split_batch((keys, photos), mesh)
    prior = parallel.place_prior(prior, mesh)
images, scores = over_settings(keys, prior, photos, scales)
for scale, row in zip(scales, scores, strict=True):
    print(f"scale {scale:g}: {', '.join(f'{score:.1f} dB' for score in row)}")
