"""How sure is it?

A sampler draws from what could have been. Where several samples agree, the measurement decides; where they differ,
the prior invents.
"""

import pathlib

import jax
import numpy as np

import jaxrestore as jr

SIZE = 128  # small: 32
SAMPLES = 8  # small: 2
STEPS = 100  # small: 2
PHOTO = pathlib.Path(jr.__file__).parent / "photographs" / "coffee.png"
photo = jr.images.resize(jr.images.centre(jr.images.load(PHOTO)), (SIZE, SIZE))
task = jr.task("inpainting_box", image_shape=photo.shape, noise_std=0.02, key=jax.random.key(3))
key_noise, key = jax.random.split(jax.random.key(0))
y = task.degradation.measure(key_noise, photo)

# %%
# Mean and deviation of each pixel; no sample is kept, so memory does not grow with their number.
sampler = task.sampler("dpps", num_steps=STEPS)
found = jr.posterior_statistics(
    sampler, jr.load_prior("photo"), task.degradation, y[None], key=key, num_samples=SAMPLES, batch_size=4
)
mean, std = found.mean[0], found.std[0]

# %%
# Is the deviation as large as the error? Were the samples those of the true posterior, both would agree on average
# over many pictures. Inside the gap and outside of it:
missing = np.asarray(task.degradation.operator.mask)[..., 0] == 0
for name, where in {"known": ~missing, "missing": missing}.items():
    error, spread = (float(np.sqrt(np.mean(np.square(a[where])))) for a in (mean - photo, std))
    print(f"{name:8} error {error:.3f}, deviation {spread:.3f}")
white = max(float(np.percentile(std, 99)), 1e-6)
jr.images.save("uncertainty.jpg", np.concatenate([np.asarray(y), mean, 2 * std / white - 1, photo], axis=1))

# %%
# How far such a spread can be trusted is measured where the posterior is known exactly: [Do samplers
# sample?](../results/posterior.md) No method is right everywhere, so it is a hint, not a confidence interval. The
# command line does the same with `--samples 8 --save-std`.
