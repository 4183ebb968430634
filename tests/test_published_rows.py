"""Every published row against its source: noise, settings and options, written here a second time from the authors' files.

Noise is that of the file: on [0, 1] for DiffPIR, DDNM, DDRM, DDPG and RED-diff, on [-1, 1] for the rest.
"""

import jax
import numpy as np
import pytest

from jaxrestore import published
from jaxrestore.samplers.starts import aligned_start

SR, BLUR, SHAKE = (
    {"factor": 4, "kernel": "bicubic"},
    {"kernel_size": 61, "std": 3.0},
    {"kernel_size": 61, "intensity": 0.5},
)
PHASE, NEURAL, OVER = {"oversample": 2.0}, {"intensity": 1.2}, {"scale": 2.0}
Row = tuple[float, dict, dict]  # noise on [-1, 1], settings, options and what is drawn; arrays are left out


def both(rows: dict[str, Row], *datasets: str) -> dict[str, Row]:
    """Rows of "method/task/name" for each data set."""
    parts = {label: label.partition("/") for label in rows}
    return {f"{a}/{dataset}/{b}": rows[label] for label, (a, _, b) in parts.items() for dataset in datasets}


def dps_rows() -> dict[str, Row]:
    """configs/*_config.yaml, of which inpainting's has the box as a comment; 1000 steps."""

    def row(scale, options):
        return 0.05, {"num_steps": 1000, "scale": scale}, options

    return {
        "dps/super_resolution": row(0.3, SR),
        "dps/gaussian_deblur": row(0.3, BLUR),
        "dps/motion_deblur": row(0.3, SHAKE),
        "dps/inpainting_random": row(0.5, {"rate": (0.3, 0.7)}),
        "dps/inpainting_box": row(0.5, {"box": 128, "margin": 16}),
        "dps/nonlinear_deblur": row(0.3, NEURAL),
        "dps/phase_retrieval": row(1.0, {**PHASE, "padded": "signed"}),
    }


def daps_rows() -> dict[str, Row]:
    """config/task/*.yaml and commands/pixel_*.sh."""

    def row(learning_rate, options):
        levels = {"num_steps": 200, "ode_steps": 5, "sigma_max": 100.0, "sigma_min": 0.1}
        chain = {"langevin_steps": 100, "learning_rate": learning_rate, "lr_min_ratio": 0.01, "tau": 0.01}
        return 0.05, {**levels, **chain}, options

    return {
        "daps/super_resolution": row(1e-4, SR),
        "daps/gaussian_deblur": row(1e-4, BLUR),
        "daps/motion_deblur": row(5e-5, SHAKE),
        "daps/inpainting_random": row(1e-4, {"rate": (0.7, 0.71)}),
        "daps/inpainting_box": row(5e-5, {"box": 128, "margin": 32}),
        "daps/phase_retrieval": row(5e-5, PHASE),
        "daps/nonlinear_deblur": row(5e-5, NEURAL),
        "daps/high_dynamic_range": row(2e-5, OVER),
    }


def mmps_rows() -> dict[str, Row]:
    """configs/tasks/*_config.yaml; 1 and 5 iterations of GMRES."""
    tasks = {
        "super_resolution": (0.1, SR),
        "gaussian_deblur": (0.05, BLUR),
        "motion_deblur": (0.1, SHAKE),
        "inpainting_random": (0.01, {"rate": 0.98}),
        "inpainting_box": (1.0, {"box": 128, "margin": 16}),
    }
    return {
        f"mmps/{task}{name}": (noise, {"num_steps": 100, "solver": "gmres", "solver_steps": iterations}, options)
        for iterations, name in ((1, ""), (5, "/5-iterations"))
        for task, (noise, options) in tasks.items()
    }


def diffpir_rows() -> dict[str, Row]:
    """main_ddpir_deblur.py and main_ddpir_inpainting.py, whose lambda is four times the strength."""
    program = {"spacing": "quadratic", "clip": True, "end": "state", "start": aligned_start}
    deblur = {**program, "num_steps": 100, "strength": 7 / 4, "zeta": pytest.approx(0.3)}
    inpaint = {**program, "num_steps": 20, "strength": 1 / 4, "zeta": 1.0, "noise_std": 2 * 0.001}
    noise = 2 * 12.75 / 255
    return {
        "diffpir/gaussian_deblur": (noise, deblur, {"kernel_size": 61, "boundary": "circular", "std": (3.0, 9.0)}),
        "diffpir/motion_deblur": (noise, deblur, {**SHAKE, "boundary": "circular"}),
        "diffpir/inpainting_random": (0.0, inpaint, {"rate": 0.5}),
        "diffpir/inpainting_box": (0.0, inpaint, {"box": 128, "margin": 16}),
    }


def ddnm_rows() -> dict[str, Row]:
    """evaluation.sh without noise."""
    settings = {"num_steps": 100, "eta": 0.85, "spacing": "leading"}
    tasks = {
        "super_resolution/x4-bicubic": SR,
        "super_resolution/x4-average": {"factor": 4, "kernel": "average"},
        "gaussian_deblur": {"boundary": "zero"},
        "colorization": {},
        "inpainting_box": {},
    }
    return {f"ddnm/{task}": (0.0, settings, options) for task, options in tasks.items()}


# evaluation_DDPG.sh and evaluation_IDPG.sh: data set, degradation and options of each command. The first half injects noise.
DDPG = """
celeba_hq sr_bicubic sigma_y 0 inject_noise 1 zeta 0.7 step_size_mode 0
celeba_hq deblur_gauss sigma_y 0 inject_noise 1 zeta 1.0 step_size_mode 0
celeba_hq sr_bicubic sigma_y 0.01 inject_noise 1 gamma 300 zeta 1.0 eta_tilde 1.0 step_size_mode 0
celeba_hq deblur_gauss sigma_y 0.01 inject_noise 1 gamma 11 zeta 0.6 eta_tilde 1.0 step_size_mode 0
celeba_hq motion_deblur sigma_y 0.01 inject_noise 1 gamma 50 zeta 0.5 eta_tilde 6.0 step_size_mode 0
celeba_hq sr_bicubic sigma_y 0.05 inject_noise 1 gamma 10 zeta 0.8 eta_tilde 0.3 step_size_mode 1
celeba_hq deblur_gauss sigma_y 0.05 inject_noise 1 gamma 8 zeta 0.5 eta_tilde 0.7 step_size_mode 1
celeba_hq motion_deblur sigma_y 0.05 inject_noise 1 gamma 5 zeta 0.6 eta_tilde 0.6 step_size_mode 1
celeba_hq deblur_gauss sigma_y 0.1 inject_noise 1 gamma 5 zeta 0.6 eta_tilde 0.7 step_size_mode 1
celeba_hq motion_deblur sigma_y 0.1 inject_noise 1 gamma 5 zeta 0.6 eta_tilde 0.6 step_size_mode 1
imagenet_256 sr_bicubic sigma_y 0 inject_noise 1 zeta 0.7 step_size_mode 0
imagenet_256 deblur_gauss sigma_y 0 inject_noise 1 zeta 1.0 step_size_mode 0
imagenet_256 sr_bicubic sigma_y 0.05 inject_noise 1 gamma 6 zeta 1.0 eta_tilde 0.3 step_size_mode 1
imagenet_256 deblur_gauss sigma_y 0.05 inject_noise 1 gamma 10 zeta 0.4 eta_tilde 0.7 step_size_mode 1
imagenet_256 motion_deblur sigma_y 0.05 inject_noise 1 gamma 6 zeta 0.6 eta_tilde 0.7 step_size_mode 1
imagenet_256 motion_deblur sigma_y 0.1 inject_noise 1 gamma 3 zeta 0.6 eta_tilde 0.4 step_size_mode 1
celeba_hq sr_bicubic sigma_y 0 inject_noise 0 step_size_mode 0
celeba_hq deblur_gauss sigma_y 0 inject_noise 0 step_size_mode 0
celeba_hq sr_bicubic sigma_y 0.01 inject_noise 0 gamma 300 eta_tilde 0 step_size_mode 0
celeba_hq deblur_gauss sigma_y 0.01 inject_noise 0 gamma 100 eta_tilde 7.0 step_size_mode 0
celeba_hq motion_deblur sigma_y 0.01 inject_noise 0 gamma 90 eta_tilde 7.0 step_size_mode 0
celeba_hq sr_bicubic sigma_y 0.05 inject_noise 0 gamma 16 eta_tilde 0.2 step_size_mode 0
celeba_hq deblur_gauss sigma_y 0.05 inject_noise 0 gamma 8 eta_tilde 0.6 step_size_mode 0
celeba_hq motion_deblur sigma_y 0.05 inject_noise 0 gamma 12 eta_tilde 0.9 step_size_mode 0
celeba_hq deblur_gauss sigma_y 0.1 inject_noise 0 gamma 6 eta_tilde 0.6 step_size_mode 0
celeba_hq motion_deblur sigma_y 0.1 inject_noise 0 gamma 14 eta_tilde 1.0 step_size_mode 0
imagenet_256 sr_bicubic sigma_y 0 inject_noise 0 step_size_mode 0
imagenet_256 deblur_gauss sigma_y 0 inject_noise 0 step_size_mode 0
imagenet_256 sr_bicubic sigma_y 0.05 inject_noise 0 gamma 30 eta_tilde 0.2 step_size_mode 0
imagenet_256 deblur_gauss sigma_y 0.05 inject_noise 0 gamma 11 eta_tilde 0.6 step_size_mode 0
imagenet_256 motion_deblur sigma_y 0.05 inject_noise 0 gamma 14 eta_tilde 0.8 step_size_mode 0
imagenet_256 motion_deblur sigma_y 0.1 inject_noise 0 gamma 11 eta_tilde 0.6 step_size_mode 0
"""
DDPG_TASKS = {
    "sr_bicubic": ("super_resolution", SR),
    "deblur_gauss": ("gaussian_deblur", {"boundary": "circular"}),
    "motion_deblur": ("motion_deblur", {**SHAKE, "boundary": "circular"}),
}


def ddpg_rows() -> dict[str, Row]:
    """The commands of DDPG and IDPG."""
    rows = {}
    for config, degradation, *words in map(str.split, DDPG.strip().splitlines()):
        given = {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
        (task, options), injects = DDPG_TASKS[degradation], given["inject_noise"] == 1
        settings = {"num_steps": 100, "spacing": "leading", "shrink": given["step_size_mode"] == 1}
        renamed = {"gamma": "gamma", "eta_tilde": "ridge"}
        settings |= {ours: given[theirs] for theirs, ours in renamed.items() if theirs in given}
        settings["zeta"] = given["zeta"] if injects else None
        name = f"{'noise' if injects else 'idpg'}-{given['sigma_y']:g}"
        rows[f"ddpg/{config.removesuffix('_256')}/{task}/{name}"] = (2 * given["sigma_y"], settings, options)
    return rows


def reddiff_rows() -> dict[str, Row]:
    """sample_batch.sh, sample_test.sh and _configs/algo/reddiff.yaml."""

    def row(learning_rate, options, noise=0.0, strength=0.25):
        settings = {"num_steps": 1000, "spacing": "leading", "learning_rate": learning_rate, "strength": strength}
        return 2 * noise, settings, options

    return {
        "reddiff/super_resolution": row(0.1, {"factor": 4, "kernel": "average"}),
        "reddiff/inpainting_box": row(0.25, {}),
        "reddiff/inpainting_box/noisy": row(0.25, {}, noise=0.1, strength=1.0),
        "reddiff/gaussian_deblur": row(0.5, {"boundary": "zero"}),
        "reddiff/high_dynamic_range": row(0.5, OVER),
        "reddiff/phase_retrieval": row(0.5, {**PHASE, "padded": "signed"}),
        "reddiff/nonlinear_deblur": row(0.5, NEURAL),
    }


def pigdm_rows() -> dict[str, Row]:
    """sample_batch.sh of RED-diff's code."""
    settings = {"num_steps": 1000, "spacing": "leading", "scale": 1.0}
    tasks = {
        "super_resolution": {"factor": 4, "kernel": "average"},
        "gaussian_deblur": {"boundary": "zero"},
        "inpainting_box": {},
    }
    return {f"pigdm/{task}": (0.0, settings, options) for task, options in tasks.items()}


ROWS: dict[str, Row] = {
    **both(dps_rows() | daps_rows(), "ffhq", "imagenet"),
    **both(mmps_rows() | diffpir_rows(), "ffhq"),
    **both(ddnm_rows(), "celeba_hq", "imagenet"),
    "ddnm/celeba_hq/super_resolution/x16-noisy": (
        2 * 0.2,
        {"num_steps": 100, "eta": 0.85, "spacing": "leading"},
        {"factor": 16, "kernel": "average"},
    ),
    **both(
        {
            "ddrm/super_resolution": (
                2 * 0.05,
                {"num_steps": 20, "eta": 0.85, "eta_b": 1.0, "spacing": "leading"},
                {"factor": 4, "kernel": "average"},
            )
        },
        "celeba_hq",
        "imagenet",
    ),
    **ddpg_rows(),
    **both(reddiff_rows() | pigdm_rows(), "imagenet"),
    **both(
        {"repaint/inpainting_box": (0.0, {"num_steps": 250, "jump_length": 10, "jump_repeats": 10}, {})},
        "celeba_hq",
        "imagenet",
        "places2",
    ),
}


@pytest.mark.parametrize("label", ROWS)
def test_a_row_is_what_its_source_says(label):
    (setup,) = [setup for setup in published.SETUPS if setup.label == label]
    noise_std, settings, options = ROWS[label]
    assert setup.noise_std.value == pytest.approx(noise_std)
    assert setup.plain("settings") == settings
    stated = {**setup.plain("options"), **setup.plain("drawn")}
    assert {n: v for n, v in stated.items() if not isinstance(v, np.ndarray | jax.Array)} == options


def test_no_row_is_left_out():
    """Those of SPGD and DPPS are tested beside the other facts of their rows, in test_published.py."""
    labels = {setup.label for setup in published.SETUPS if setup.method not in ("spgd", "dpps")}
    assert labels == set(ROWS)
