"""The experiments of codes that work on singular values or spectra: DiffPIR, DDNM, DDRM and DDPG."""

from collections.abc import Mapping
from typing import Any

from jaxrestore.published.papers import (
    CELEBA,
    FFHQ,
    IMAGENET,
    cut_gaussian,
    each_of,
    given_mask,
    motion_deblur,
    of,
    random_mask,
    super_resolution,
)
from jaxrestore.published.setup import Setup, Source, Values
from jaxrestore.samplers.starts import aligned_start

OfTask = Mapping[str, Any]  # the fields of a `Setup` that describe its task
STRIDES = "multiples of 1000 // steps"
CUT = "the authors' operator leaves out what singular values of an axis below 0.03 would measure"


def _diffpir() -> tuple[Setup, ...]:
    deblur, inpaint, masks, pictures = of(
        "diffpir",
        "main_ddpir_deblur.py",
        "main_ddpir_inpainting.py",
        "utils/utils_inpaint.py",
        "testsets/ffhq_val_100/ffhq_val_100.txt",
    )

    def setup(script: Source, noise_std: float, settings: Values, of_task: OfTask) -> Setup:
        return Setup(
            method="diffpir",
            dataset=FFHQ,
            noise_std=script.doubled(noise_std),
            settings=settings,
            metrics=script(("psnr", "lpips-vgg")),
            count=pictures(100),
            **of_task,
        )

    # rho = lambda sigma^2 / sigma_t^2 there, with sigma on [0, 1]: on [-1, 1] sigma^2 is four times as large.
    def process(script: Source) -> Values:
        return {
            "spacing": script("quadratic", "skip_type='quad'"),
            "clip": script(True, "clip_denoised"),
            "end": script("state", "no data step at the last timestep"),
            "start": script(aligned_start, "the measurement under noise"),
        }

    sharpen = {
        **process(deblur),
        "num_steps": deblur(100),
        "strength": deblur(7.0 / 4.0, "lambda 7 with sigma on [0, 1]"),
        "zeta": deblur(0.3, "3 times 0.1"),
    }
    fill = {
        **process(inpaint),
        "num_steps": inpaint(20),
        "strength": inpaint(1.0 / 4.0, "lambda 1 with sigma on [0, 1]"),
        "zeta": inpaint(1.0),
        "noise_std": inpaint.doubled(0.001),
    }
    anew, same = deblur(True, "a kernel for each picture"), inpaint(False, "the same seed for every picture")
    circular = deblur("circular", "mode='wrap'")
    gaussian = {
        "task": "gaussian_deblur",
        "options": {"kernel_size": deblur(61), "boundary": circular},
        "drawn": {"std": deblur((3.0, 9.0), "3 times one to three")},
        "each": anew,
    }
    box = {"task": "inpainting_box", "options": {"box": inpaint(128), "margin": masks(16)}, "each": same}
    return (
        setup(deblur, 0.05, sharpen, gaussian),
        setup(deblur, 0.05, sharpen, motion_deblur(deblur, each=anew, boundary=circular)),
        setup(inpaint, 0.0, fill, random_mask(inpaint, 0.5, 0.5, each=same)),
        setup(inpaint, 0.0, fill, box),
    )


def _ddnm(dataset: str) -> tuple[Setup, ...]:
    config = {CELEBA: "celeba_hq", IMAGENET: "imagenet_256"}[dataset]
    commands, code, readme, process, operators, steps = of(
        "ddnm",
        "evaluation.sh",
        "guided_diffusion/diffusion.py",
        "README.md",
        f"configs/{config}.yml",
        "functions/svd_operators.py",
        "functions/svd_ddnm.py",
    )

    def setup(name: str, noise_std: float, of_task: OfTask) -> Setup:
        return Setup(
            method="ddnm",
            dataset=dataset,
            name=name,
            noise_std=commands.doubled(noise_std),
            settings={"num_steps": process(100), "eta": commands(0.85), "spacing": steps("leading", STRIDES)},
            metrics=code(("psnr",)),
            count=readme(1000, "a list named imagenet_val_1k.txt") if dataset == IMAGENET else None,
            **of_task,
        )

    gaussian = cut_gaussian(code, operators("zero", "pixels beyond the border are left out"), 2, 10.0)
    mask = "the authors' exp/inp_masks/mask.npy, as a picture"
    noisy = (setup("x16-noisy", 0.2, super_resolution(commands, 16, "average")),) if dataset == CELEBA else ()
    return (
        setup("x4-bicubic", 0.0, {**super_resolution(commands, 4, "bicubic"), "remarks": (CUT,)}),
        setup("x4-average", 0.0, super_resolution(commands, 4, "average")),
        *noisy,
        setup("", 0.0, {**gaussian, "remarks": (CUT,)}),
        setup("", 0.0, {"task": "colorization"}),
        setup("", 0.0, given_mask(code, mask)),
    )


def _ddrm(dataset: str) -> tuple[Setup, ...]:
    readme, code = of("ddrm", "README.md", "runners/diffusion.py")
    return (
        Setup(
            method="ddrm",
            dataset=dataset,
            noise_std=readme.doubled(0.05),
            settings={
                **each_of(readme, {"num_steps": 20, "eta": 0.85, "eta_b": 1.0}),
                "spacing": code("leading", STRIDES),
            },
            metrics=code(("psnr",)),
            count=readme(1000) if dataset == IMAGENET else None,
            **super_resolution(readme, 4, "average"),
        ),
    )


# Noise on [0, 1] -> gamma, zeta, eta_tilde and whether corrections shrink (step_size_mode 1); IDPG has neither zeta nor
# shrinking. Where there is no noise, neither gamma nor eta_tilde matters.
_DDPG: Mapping[tuple[str, str], Mapping[float, tuple[float | None, float, float | None, bool]]] = {
    (CELEBA, "super_resolution"): {
        0.0: (None, 0.7, None, False),
        0.01: (300, 1.0, 1.0, False),
        0.05: (10, 0.8, 0.3, True),
    },
    (CELEBA, "gaussian_deblur"): {
        0.0: (None, 1.0, None, False),
        0.01: (11, 0.6, 1.0, False),
        0.05: (8, 0.5, 0.7, True),
        0.1: (5, 0.6, 0.7, True),
    },
    (CELEBA, "motion_deblur"): {0.01: (50, 0.5, 6.0, False), 0.05: (5, 0.6, 0.6, True), 0.1: (5, 0.6, 0.6, True)},
    (IMAGENET, "super_resolution"): {0.0: (None, 0.7, None, False), 0.05: (6, 1.0, 0.3, True)},
    (IMAGENET, "gaussian_deblur"): {0.0: (None, 1.0, None, False), 0.05: (10, 0.4, 0.7, True)},
    (IMAGENET, "motion_deblur"): {0.05: (6, 0.6, 0.7, True), 0.1: (3, 0.6, 0.4, True)},
}
_IDPG: Mapping[tuple[str, str], Mapping[float, tuple[float | None, float | None]]] = {
    (CELEBA, "super_resolution"): {0.0: (None, None), 0.01: (300, 0.0), 0.05: (16, 0.2)},
    (CELEBA, "gaussian_deblur"): {0.0: (None, None), 0.01: (100, 7.0), 0.05: (8, 0.6), 0.1: (6, 0.6)},
    (CELEBA, "motion_deblur"): {0.01: (90, 7.0), 0.05: (12, 0.9), 0.1: (14, 1.0)},
    (IMAGENET, "super_resolution"): {0.0: (None, None), 0.05: (30, 0.2)},
    (IMAGENET, "gaussian_deblur"): {0.0: (None, None), 0.05: (11, 0.6)},
    (IMAGENET, "motion_deblur"): {0.05: (14, 0.8), 0.1: (11, 0.6)},
}


def _ddpg(dataset: str, task: str) -> tuple[Setup, ...]:
    with_noise, without, code, readme = of(
        "ddpg", "evaluation_DDPG.sh", "evaluation_IDPG.sh", "guided_diffusion/diffusion.py", "README.md"
    )
    config = {CELEBA: "celeba_hq", IMAGENET: "imagenet_256"}[dataset]
    process, operators, steps = of(
        "ddpg", f"configs/{config}.yml", "functions/fft_operators.py", "functions/ddpg_scheme.py"
    )
    circular = operators("circular", "by FFT")
    by_svd = "the command's border is circular; the script says that the paper's figures are of operator_imp SVD: zero"
    of_task = {
        "super_resolution": {**super_resolution(with_noise, 4, "bicubic"), "remarks": (CUT,)},
        "gaussian_deblur": {**cut_gaussian(code, circular, 2, 10.0), "remarks": (by_svd,)},
        "motion_deblur": motion_deblur(code, each=code(True, "a kernel for each picture"), boundary=circular),
    }[task]

    def setup(commands: Source, name: str, noise_std: float, settings: Mapping[str, Any]) -> Setup:
        stated = {name: value for name, value in settings.items() if value is not None or name == "zeta"}
        return Setup(
            method="ddpg",
            dataset=dataset,
            name=f"{name}{noise_std:g}",
            variant=commands == without,
            noise_std=commands.doubled(noise_std),
            settings={
                "num_steps": process(100),
                "spacing": steps("leading", STRIDES),
                **each_of(commands, stated),
            },
            metrics=code(("psnr", "lpips-alex")),
            count=readme(1000, "a list named imagenet_val_1k.txt") if dataset == IMAGENET else None,
            **of_task,
        )

    rows = []
    for noise, (gamma, zeta, ridge, shrink) in _DDPG[dataset, task].items():
        rows.append(
            setup(with_noise, "noise-", noise, {"gamma": gamma, "zeta": zeta, "ridge": ridge, "shrink": shrink})
        )
    for noise, (gamma, ridge) in _IDPG[dataset, task].items():
        rows.append(setup(without, "idpg-", noise, {"gamma": gamma, "zeta": None, "ridge": ridge, "shrink": False}))
    return tuple(rows)


SETUPS = (
    *_diffpir(),
    *(setup for rows in (_ddnm, _ddrm) for dataset in (CELEBA, IMAGENET) for setup in rows(dataset)),
    *(setup for dataset, task in _DDPG for setup in _ddpg(dataset, task)),
)
