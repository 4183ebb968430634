"""The experiments of PiGDM and RED-diff, which are one code, and of RePaint."""

from jaxrestore.published.papers import (
    CELEBA,
    IMAGENET,
    PLACES,
    cut_gaussian,
    each_of,
    given_mask,
    nonlinear_deblur,
    of,
    super_resolution,
)
from jaxrestore.published.setup import Setup, Value
from jaxrestore.published.spectral import CUT, STRIDES, OfTask

_FREE_FORM = "Palette's free-form masks of 20 to 30 % (20ff)"


def _pigdm() -> tuple[Setup, ...]:
    batch, scores, pictures, operators, steps = of(
        "pigdm",
        "sample_batch.sh",
        "eval/psnr.py",
        "_configs/dataset/imagenet256_val.yaml",
        "utils/degredations.py",
        "utils/functions.py",
    )
    gaussian = cut_gaussian(operators, operators("zero", "pixels beyond the border are left out"), 2, 25.0)

    def setup(of_task: OfTask) -> Setup:
        return Setup(
            method="pigdm",
            dataset=IMAGENET,
            noise_std=batch(0.0, "sigma_y"),
            settings={
                "num_steps": batch(1000),
                "spacing": steps("leading", STRIDES),
                "scale": batch(1.0, "grad_term_weight, with eta 1"),
            },
            metrics=scores(("psnr", "ssim", "lpips-alex"), "of torchmetrics, whose LPIPS takes AlexNet"),
            count=pictures(1000, "a list named dgp_top1k.txt"),
            **of_task,
        )

    return (
        setup(super_resolution(batch, 4, "average")),
        setup({**gaussian, "remarks": (CUT,)}),
        setup(given_mask(batch, _FREE_FORM)),
    )


def _reddiff() -> tuple[Setup, ...]:
    batch, examples, defaults, scores, pictures, operators, steps = of(
        "reddiff",
        "sample_batch.sh",
        "sample_test.sh",
        "_configs/algo/reddiff.yaml",
        "eval/psnr.py",
        "_configs/dataset/imagenet256_val.yaml",
        "utils/degredations.py",
        "utils/functions.py",
    )

    def setup(learning_rate: Value, strength: Value, of_task: OfTask, *remarks: str, noise_std: float = 0.0) -> Setup:
        return Setup(
            method="reddiff",
            dataset=IMAGENET,
            name="noisy" if noise_std else "",
            noise_std=examples.doubled(noise_std),
            settings={
                "num_steps": batch(1000, "100 in the README, 10 in sample_test.sh, which tries a single picture"),
                "spacing": steps("leading", STRIDES),
                "learning_rate": learning_rate,
                "strength": strength,
            },
            metrics=scores(("psnr", "ssim", "lpips-alex"), "of torchmetrics, whose LPIPS takes AlexNet"),
            count=pictures(1000, "a list named dgp_top1k.txt"),
            remarks=remarks,
            **of_task,
        )

    usual = defaults(0.25, "grad_term_weight; sample_batch.sh gives 1.0 to all methods alike, the README 0.25")
    masked = given_mask(batch, _FREE_FORM)
    gaussian = cut_gaussian(operators, operators("zero", "pixels beyond the border are left out"), 2, 25.0)
    blank = "it starts from zeros, the authors from the inverse transform of the amplitudes"
    phase = {"task": "phase_retrieval", "options": {"oversample": operators(2.0), "padded": operators("signed")}}
    over_exposure = {"task": "high_dynamic_range", "options": {"scale": operators(2.0)}}
    blur = nonlinear_deblur(operators, operators, each=operators(False, "there at every evaluation"))
    restless = "the authors draw another blur at every evaluation of the operator; here it is one throughout"
    return (
        setup(defaults(0.1, "lr"), usual, super_resolution(batch, 4, "average")),
        setup(examples(0.25, "lr; 0.5 in the README"), usual, masked),
        setup(examples(0.25, "lr"), examples(1.0, "grad_term_weight"), masked, noise_std=0.1),
        setup(examples(0.5, "lr"), examples(0.25, "grad_term_weight"), gaussian, CUT),
        setup(examples(0.5, "lr"), examples(0.25, "grad_term_weight"), over_exposure),
        setup(examples(0.5, "lr"), examples(0.25, "grad_term_weight"), phase, blank),
        setup(examples(0.5, "lr"), examples(0.25, "grad_term_weight"), blur, restless),
    )


def _repaint(dataset: str) -> tuple[Setup, ...]:
    short = {CELEBA: "c256", IMAGENET: "inet256", PLACES: "p256"}[dataset]
    (config,) = of("repaint", f"confs/test_{short}_thick.yml")
    walk = {"num_steps": 250, "jump_length": 10, "jump_repeats": 10}
    return (
        Setup(
            method="repaint",
            dataset=dataset,
            noise_std=config(0.0, "nothing is added"),
            settings=each_of(config, walk),
            count=config(100, "max_len"),
            remarks=("its network knows the picture's class",) if dataset == IMAGENET else (),
            **given_mask(config, "LaMa's thin or thick strokes, or one of the patterns ev2li, nn2, ex64, genhalf"),
        ),
    )


SETUPS = (
    *_pigdm(),
    *_reddiff(),
    *(setup for dataset in (CELEBA, IMAGENET, PLACES) for setup in _repaint(dataset)),
)
