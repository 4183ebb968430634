"""Sampler settings tuned for the bundled prior, as differences from the defaults of the methods' factories.

"photo": for the bundled prior, a network far smaller than those of the papers, with a number of steps that suits a CPU.
They were tuned on photographs of its validation set for super-resolution, Gaussian deblurring and random inpainting,
roughly for motion deblurring, denoising and DPS's box inpainting, and carried over to the rest by the size of their
operators. Those that depend on the size of the image are stated for 256x256, step sizes for the usual options of a task
(`Method.at_side`, `Method.at_gain`).

The other sets are no tables: "recommended" is derived for each operator by what a row of `METHODS` says, and
"published" is what papers publish, in `jaxrestore.published`.
"""

from collections.abc import Mapping
from typing import Any

SETTINGS = ("photo", "recommended", "published")

# Set -> method -> settings, whatever the task.
COMMON: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "photo": {
        # Few levels with many likelihood steps each, at a rate that stays: the fewer the levels, the nearer the result
        # is to the posterior mean, and this prior's own samples are grainy.
        "spgd": {"num_steps": 3, "warmup_steps": 32, "sigma_max": 10.0, "lr_min_ratio": 1.0},
        # The preconditioned ones begin on the picture reduced by two, where an evaluation costs a quarter.
        "pspgd": {"evaluations": 12, "grids": 2, "sigma_max": 5.0},
        "pdpps": {"num_steps": 12, "grids": 2, "sigma_max": 5.0},
        "dpps": {"num_steps": 100},
        "dps": {"num_steps": 100},
        "diffpir": {"num_steps": 50, "zeta": 1.0},
        "ddnm": {"num_steps": 50},
        "ddpg": {"num_steps": 50, "shrink": False},
        "pigdm": {"num_steps": 50},
        "mmps": {"num_steps": 50},
        "daps": {
            "num_steps": 30,
            "ode_steps": 3,
            "langevin_steps": 50,
            "learning_rate": 5e-5,
            "lr_min_ratio": 0.1,
            "sigma_max": 30.0,
            "sigma_min": 0.03,
        },
        "reddiff": {"num_steps": 200},
        "repaint": {"num_steps": 50, "jump_length": 5, "jump_repeats": 2},
    },
}

# Set -> task -> method -> settings, on top of the common ones.
TASK_SETTINGS: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "photo": {
        "super_resolution": {
            "spgd": {"learning_rate": 9.0},
            "dpps": {"scale": 40.0},
            "dps": {"scale": 40.0},
            "daps": {"learning_rate": 7.2e-5, "tau": 0.003},
        },
        "gaussian_deblur": {
            "spgd": {"learning_rate": 1.0},
            "dpps": {"scale": 13.0},
            "dps": {"scale": 13.0},
            "mmps": {"solver_steps": 3},
            "daps": {"learning_rate": 1e-4},
            "reddiff": {"learning_rate": 0.4},
        },
        "motion_deblur": {
            "spgd": {"learning_rate": 1.0},
            "dpps": {"scale": 4.0},
            "dps": {"scale": 4.0},
            "mmps": {"solver_steps": 3},
            "reddiff": {"learning_rate": 0.4},
        },
        # One sample pays for its texture in PSNR; the mean of a few does not, and still has more of it than
        # interpolation.
        "inpainting_random": {
            "spgd": {"learning_rate": 1.2, "sigma_max": 30.0, "mean_of": 4},
            "pspgd": {"momentum": 0.8, "mean_of": 4},
            "dpps": {"scale": 20.0, "mean_of": 2},
            "dps": {"scale": 20.0, "mean_of": 2},
            "ddnm": {"eta": 1.0},
            "ddrm": {"num_steps": 100, "eta": 1.0},
            "pigdm": {"scale": 1.5},
            "daps": {"learning_rate": 4.5e-6, "tau": 0.003},
        },
        "inpainting_box": {
            "spgd": {"learning_rate": 0.8, "sigma_max": 30.0},
            "dpps": {"scale": 8.0},
            "dps": {"scale": 8.0},
        },
        "phase_retrieval": {"spgd": {"learning_rate": 2.0}, "dpps": {"scale": 2.0}, "dps": {"scale": 2.0}},
        "nonlinear_deblur": {"spgd": {"learning_rate": 0.6}, "dpps": {"scale": 10.0}, "dps": {"scale": 10.0}},
        "high_dynamic_range": {"spgd": {"learning_rate": 0.2}, "dpps": {"scale": 5.0}, "dps": {"scale": 5.0}},
        "denoising": {
            "spgd": {"learning_rate": 0.025},
            "dpps": {"scale": 16.0},
            "dps": {"scale": 16.0},
            # The noise that is measured is the state's own: hardly any of it needs to be drawn anew.
            "ddnm": {"eta": 0.3},
            "reddiff": {"strength": 2.0},
            "daps": {"learning_rate": 0.01, "lr_min_ratio": 0.01, "tau": 0.2, "sigma_min": 0.1},
        },
        "colorization": {"spgd": {"learning_rate": 2.0}, "dpps": {"scale": 16.0}, "dps": {"scale": 16.0}},
        # What a file's coefficients leave open, single draws fill with grain: few steps, or the mean of a few draws.
        "jpeg": {
            "spgd": {"learning_rate": 0.05},
            # The noise of a file's coefficients is no one number on a coarser grid.
            "pspgd": {"evaluations": 24, "grids": 1, "sigma_max": 10.0, "mean_of": 4},
            "pdpps": {"num_steps": 30, "grids": 1, "sigma_max": 10.0},
            "dpps": {"scale": 5.0},
            "dps": {"scale": 5.0},
            "diffpir": {"num_steps": 20, "strength": 0.5, "mean_of": 2},
            "ddnm": {"num_steps": 20, "mean_of": 4},
            "mmps": {"noise_std": 0.15},  # it has no use for the decomposition, in whose units the noise is stated
        },
    },
}
