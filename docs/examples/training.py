"""Train a prior and measure it.

A prior is a denoiser of all noise levels. This shows the parts on one photograph for a few steps; a useful prior
takes hundreds of photographs and many hours on a CPU ([the bundled one](../decisions/photo.md) took six).
"""

import pathlib
import tempfile

import jax

import jaxrestore as jr
from jaxrestore import training
from jaxrestore.priors import UNetConfig

CHANNELS = 32
STEPS = 300  # small: 2
CROP = 32  # small: 8
PHOTOS = pathlib.Path(jr.__file__).parent / "photographs"  # a folder of yours

# %%
# The network is that of guided-diffusion; without attention it takes pictures of any size. All of `TrainingConfig`
# but the network may change when a run is resumed.
config = training.TrainingConfig(
    network=UNetConfig(model_channels=CHANNELS, channel_mult=(1, 2), num_res_blocks=1),
    num_steps=STEPS,
    batch_size=4,
    crop_size=CROP,
    warmup_steps=20,
    decay_steps=STEPS // 3,
    ema_decay=0.98,
)
run = tempfile.mkdtemp()  # one that stays: a run that is stopped goes on with the same call
prior = training.train(
    PHOTOS, run, config, report=lambda p: print(f"step {p.step}: loss {p.loss:.3f}"), report_every=max(STEPS // 3, 1)
)

# %%
# **Measured** by the error of denoising photographs that it has not seen (here, for want of others, the same one),
# level by level, on the [-1, 1] scale. Below the noise level is better; a prior that is worse than the bundled one
# at the levels that matter, 0.1 to 1, restores worse.
for sigma, error in training.validate(prior, PHOTOS, size=CROP).items():
    print(f"noise {sigma:>4}: error {error:.3f}")

# %%
# Saved, it is a folder that `--prior` and `jr.load_prior` take.
folder = jr.save_prior(pathlib.Path(run) / "prior", prior)
loaded = jr.priors.load_prior(folder)
assert jax.tree.structure(loaded) == jax.tree.structure(prior)

# %%
# `python -m benchmarks.denoising FOLDER --prior PRIOR` compares a prior with published denoisers, and `jaxrestore
# evaluate` what it is worth in a task.
