"""The papers, and pieces that their experiments share."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrestore.published.setup import Paper, Source, Value, Values

PAPERS: Mapping[str, Paper] = {
    "spgd": Paper(
        "Enhancing Diffusion Model Stability for Image Restoration via Gradient Management",
        "ACM MM 2025",
        "https://arxiv.org/abs/2507.06656",
        "74587887/SPGD",
        "e57cb7ba3e615f8c2b9833523ffad4929c4ca3e8",
    ),
    "dpps": Paper(
        "Diffusion Posterior Proximal Sampling for Image Restoration",
        "ACM MM 2024",
        "https://arxiv.org/abs/2402.16907",
        "74587887/DPPS_code",
        "5abdfe6a9ea046bbd603a56110f56449be7cb750",
    ),
    "dps": Paper(
        "Diffusion Posterior Sampling for General Noisy Inverse Problems",
        "ICLR 2023",
        "https://arxiv.org/abs/2209.14687",
        "DPS2022/diffusion-posterior-sampling",
        "effbde7325b22ce8dc3e2c06c160c021e743a12d",
    ),
    "diffpir": Paper(
        "Denoising Diffusion Models for Plug-and-Play Image Restoration",
        "CVPR workshops 2023",
        "https://arxiv.org/abs/2305.08995",
        "yuanzhi-zhu/DiffPIR",
        "111d26e8cf11965c1777a8a664b08dfa3ef78f1e",
    ),
    "ddnm": Paper(
        "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model",
        "ICLR 2023",
        "https://arxiv.org/abs/2212.00490",
        "wyhuai/DDNM",
        "00b58eac7843a4c99114fd8fa42da7aa2b6808af",
    ),
    "ddrm": Paper(
        "Denoising Diffusion Restoration Models",
        "NeurIPS 2022",
        "https://arxiv.org/abs/2201.11793",
        "bahjat-kawar/ddrm",
        "32b6b3ccfda532ba01c9cc5b6e7456c3a06a6ca2",
    ),
    "ddpg": Paper(
        "Image Restoration by Denoising Diffusion Models with Iteratively Preconditioned Guidance",
        "CVPR 2024",
        "https://arxiv.org/abs/2312.16519",
        "tirer-lab/DDPG",
        "fcd17382d6b2d084b4bd2686c531b61e392cc1a9",
    ),
    # Its first author's code is part of RED-diff's.
    "pigdm": Paper(
        "Pseudoinverse-Guided Diffusion Models for Inverse Problems",
        "ICLR 2023",
        "https://openreview.net/forum?id=9_gsMA8MRKQ",
        "NVlabs/RED-diff",
        "66482f23e242bb31166c3662002d0a6f9f065030",
    ),
    "mmps": Paper(
        "Learning Diffusion Priors from Observations by Expectation Maximization",
        "NeurIPS 2024",
        "https://arxiv.org/abs/2405.13712",
        "francois-rozet/mmps-benchmark",
        "877f659d6518e51a1a1f2dff1d5dfcc3b86e1c0d",
    ),
    # Of the branch `legacy`: its Langevin energy is this library's; that of the present branch weighs the data twice.
    "daps": Paper(
        "Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing",
        "CVPR 2025",
        "https://arxiv.org/abs/2407.01521",
        "zhangbingliang2019/DAPS",
        "25471a8d7c3416995b88243355dd677648ead6ef",
    ),
    "reddiff": Paper(
        "A Variational Perspective on Solving Inverse Problems with Diffusion Models",
        "ICLR 2024",
        "https://arxiv.org/abs/2305.04391",
        "NVlabs/RED-diff",
        "66482f23e242bb31166c3662002d0a6f9f065030",
    ),
    "repaint": Paper(
        "RePaint: Inpainting using Denoising Diffusion Probabilistic Models",
        "CVPR 2022",
        "https://arxiv.org/abs/2201.09865",
        "andreas128/RePaint",
        "8e2a0552a0cc306e623da807d353915f1af17726",
    ),
}
FFHQ, IMAGENET, CELEBA, PLACES = "ffhq", "imagenet", "celeba_hq", "places2"
DATASETS = (FFHQ, IMAGENET, CELEBA, PLACES)


def of(paper: str, *files: str) -> tuple[Source, ...]:
    """Files of a paper's repository."""
    return tuple(Source(PAPERS[paper], file) for file in files)


def each_of(source: Source, values: Mapping[str, Any]) -> Values:
    """Values that stand in one file."""
    return {name: source(value) for name, value in values.items()}


# Parts of setups: a task with its options. Masks and kernels are drawn once where the authors' operator draws them, and
# for each picture where their loop over the pictures does; `each` says which.


def super_resolution(source: Source, factor: int, kernel: str) -> dict[str, Any]:
    """Reduction by a factor."""
    return {"task": "super_resolution", "options": each_of(source, {"factor": factor, "kernel": kernel})}


def gaussian_deblur(source: Source) -> dict[str, Any]:
    """The kernel of DPS and those who follow it."""
    return {"task": "gaussian_deblur", "options": each_of(source, {"kernel_size": 61, "std": 3.0})}


def cut_gaussian(source: Source, boundary: Value, reach: int, std: float) -> dict[str, Any]:
    """A Gaussian of few taps along both axes, cut and then normalised, as DDRM and those who follow it have it."""
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std) ** 2)
    kernel = source(taps / taps.sum(), f"{2 * reach + 1} taps of deviation {std:g}, along both axes")
    return {"task": "gaussian_deblur", "options": {"kernel": kernel, "boundary": boundary}}


def motion_deblur(source: Source, *, each: Value, **further: Value) -> dict[str, Any]:
    """The kernels of DPS and those who follow it."""
    options = each_of(source, {"kernel_size": 61, "intensity": 0.5})
    return {"task": "motion_deblur", "options": {**options, **further}, "each": each}


def random_mask(source: Source, low: float, high: float, *, each: Value) -> dict[str, Any]:
    """A share of missing pixels, or one drawn between two."""
    rate = {"options": {"rate": source(low)}} if low == high else {"drawn": {"rate": source((low, high))}}
    return {"task": "inpainting_random", **rate, "each": each}


def box_mask(source: Source, masks: Source, margin: int, *, each: Value) -> dict[str, Any]:
    """A missing box of 128x128."""
    return {"task": "inpainting_box", "options": {"box": source(128), "margin": masks(margin)}, "each": each}


def given_mask(source: Source, what: str) -> dict[str, Any]:
    """A mask that is a file of the authors."""
    return {"task": "inpainting_box", "given": {"mask": source(what)}}


def nonlinear_deblur(source: Source, operator: Source, *, each: Value) -> dict[str, Any]:
    """The neural blur of Tran et al. (BKSE)."""
    return {
        "task": "nonlinear_deblur",
        "options": {"intensity": operator(1.2)},
        "given": {"weights": source("BKSE's GOPRO_wVAE.pth, converted")},
        "each": each,
    }
