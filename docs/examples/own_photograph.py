"""Restore your own photograph.

A photograph is blurred here, so that results can be compared with the truth; with a blurred picture of your own,
`y` is `jr.images.load("blurred.png")`, and the rest stays.
"""

import pathlib

import jax
import numpy as np

import jaxrestore as jr

SIZE = 128  # small: 32
STEPS = 50  # small: 2
PHOTO = pathlib.Path(jr.__file__).parent / "photographs" / "coffee.png"  # yours

# %%
# A task is an operator and a noise. Its name chooses the operator, its options what is known of the damage: how
# wide the blur is, how strong the noise.
photo = jr.images.resize(jr.images.centre(jr.images.load(PHOTO)), (SIZE, SIZE))
task = jr.task("gaussian_deblur", image_shape=photo.shape, kernel_size=15, std=1.5, noise_std=0.02)
key_noise, key = jax.random.split(jax.random.key(0))
y = task.degradation.measure(key_noise, photo)

# %%
# The settings that the library recommends for the bundled prior come with the task; `num_steps` is changed here.
prior = jr.load_prior("photo")
shown = {"blurred": y}
for method, changes in {"diffpir": {"num_steps": STEPS}, "spgd": {"num_steps": 3, "warmup_steps": STEPS // 2}}.items():
    sampler = task.sampler(method, **changes)
    shown[method] = jax.jit(sampler.sample)(key, prior, task.degradation, y).image

# %%
# What if the blur is not the one that one believes? A kernel too wide gives rings, one too narrow leaves blur. When
# the width is not known, try a few and look: the right one is the widest without rings.
for std in (1.0, 2.2):
    wrong = jr.task("gaussian_deblur", image_shape=photo.shape, kernel_size=15, std=std, noise_std=0.02)
    sampler = wrong.sampler("diffpir", num_steps=STEPS)
    shown[f"diffpir, std={std}"] = jax.jit(sampler.sample)(key, prior, wrong.degradation, y).image

shown["original"] = photo
for name, image in shown.items():
    print(f"{name:18} {jr.metrics.psnr(np.clip(image, -1, 1), photo):5.1f} dB")
jr.images.save("own_photograph.jpg", np.concatenate([np.asarray(image) for image in shown.values()], axis=1))
