"""Tune settings in one program.

Step sizes, momentum and weights may be traced, so all their values run as one batch of one compiled program;
counts, which change the program, are compiled one by one.
"""

import pathlib

import jax

import jaxrestore as jr

SIZE = 64  # small: 32
RATES = [0.2, 0.4, 0.6, 0.9]  # small: [0.001, 0.002]
PHOTO = pathlib.Path(jr.__file__).parent / "photographs" / "coffee.png"  # better: several, of your kind
photo = jr.images.resize(jr.images.centre(jr.images.load(PHOTO)), (SIZE, SIZE))
task = jr.task("gaussian_deblur", image_shape=photo.shape, kernel_size=15, std=1.5)

# %%
# Every combination of the grid, the best first; all see the same measurements and the same keys. Those that diverge
# come last.
trials = jr.tuning.tune(
    jr.spgd,
    jr.load_prior("photo"),
    task.degradation,
    photo[None],
    {"learning_rate": RATES, "momentum": [0.0, 0.9]},
    key=jax.random.key(0),
    fixed={"num_steps": 3, "warmup_steps": 16, "sigma_max": 10.0, "lr_min_ratio": 1.0},
    metric="psnr",
)
for trial in trials:
    rate, momentum = trial.settings["learning_rate"], trial.settings["momentum"]
    print(f"rate {rate:.1f}, momentum {momentum:.1f}: {trial.scores.psnr:.2f} dB, LPIPS {trial.scores.lpips:.3f}")

# %%
# A best value at the end of its range says that the range was too short: go on beyond it.
#
# On the command line, with a file of settings that `restore` and `evaluate` take:
#
# ```sh
# jaxrestore tune --data photos/ --task gaussian_deblur --method spgd --grid learning_rate=0.3..1.2:4 -o best.json
# jaxrestore restore blurred.png -o sharp.png --task gaussian_deblur --method spgd --settings best.json
# ```
#
# Settings that are tuned and tested on the same pictures look better than they are: keep some pictures aside.
