"""The experiments of codes that stem from that of DPS: SPGD, DPPS, DPS, DAPS and MMPS."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxrestore.published.papers import (
    FFHQ,
    IMAGENET,
    PAPERS,
    box_mask,
    each_of,
    gaussian_deblur,
    motion_deblur,
    nonlinear_deblur,
    of,
    random_mask,
    super_resolution,
)
from jaxrestore.published.setup import Setup, Source, Value

OfTask = Callable[[Source], Mapping[str, Any]]  # the file of a task -> the fields of a `Setup` that describe it


def _x4(task: Source) -> Mapping[str, Any]:
    return super_resolution(task, 4, "bicubic")


def _over_exposure(task: Source) -> Mapping[str, Any]:
    return {"task": "high_dynamic_range", "options": {"scale": task(2.0)}}


def _phase(task: Source) -> Mapping[str, Any]:
    return {"task": "phase_retrieval", "options": {"oversample": task(2.0)}}


def _spgd(dataset: str) -> tuple[Setup, ...]:
    readme, sampler, grid, operators, data, scores = of(
        "spgd",
        "README.md",
        "sampler.py",
        "config/sampler/edm_spgd.yaml",
        "forward_operator/__init__.py",
        f"config/data/{dataset}.yaml",
        "eval.py",
    )
    once = operators(False, "the operator keeps the first that it draws")

    def setup(file: str, learning_rate: float, noise_std: float, of_task: OfTask, *remarks: str) -> Setup:
        (task,) = of("spgd", f"config/task/{file}.yaml")
        settings = {
            "num_steps": readme(100, "num_steps=100 in the command; the sampler's file says 200"),
            "warmup_steps": task(5, "num_steps"),
            "learning_rate": task(learning_rate, "lr"),
            "lr_min_ratio": sampler(0.01),
            "momentum": sampler(0.9, "beta; the code then steps with the raw gradient, which is momentum=0"),
            **each_of(grid, {"sigma_max": 100.0, "sigma_min": 0.1}),
        }
        return Setup(
            method="spgd",
            dataset=dataset,
            noise_std=task(noise_std, "sigma"),
            settings=settings,
            metrics=scores(("psnr", "ssim", "lpips-piq")),
            count=data(100, "end_id"),
            remarks=remarks,
            **of_task(task),
        )

    still = "the published learning rate hardly moves the image"
    return (
        setup("down_sampling", 7.0, 0.01, _x4),
        setup("gaussian_blur", 1.0, 0.01, gaussian_deblur),
        setup("motion_blur", 1.0, 0.01, lambda task: motion_deblur(task, each=once)),
        setup("inpainting_rand", 2.5, 0.01, lambda task: random_mask(task, 0.8, 0.8, each=once)),
        setup("inpainting", 5e-5, 0.05, lambda task: box_mask(task, operators, 32, each=once), still),
        setup("phase_retrieval", 2.0, 0.05, _phase),
        setup("nonlinear_blur", 1.0, 0.05, lambda task: nonlinear_deblur(task, operators, each=once)),
        setup("hdr", 1.0, 0.05, _over_exposure),
    )


def _dpps(dataset: str) -> tuple[Setup, ...]:
    process, diffusion, loop, operators, scores = of(
        "dpps",
        "configs/diffusion_config.yaml",
        "guided_diffusion/gaussian_diffusion.py",
        "sample_condition.py",
        "guided_diffusion/measurements.py",
        "util/compute_metric.py",
    )
    anew, once = loop(True, "a mask for each picture"), operators(False, "the operator draws one kernel")

    def setup(file: str, scale: float, of_task: OfTask) -> Setup:
        (task,) = of("dpps", f"configs/{file}_config.yaml")
        return Setup(
            method="dpps",
            dataset=dataset,
            noise_std=task(0.01, "sigma"),
            settings={
                "num_steps": process(1000),
                "scale": task(scale),
                "n_max": diffusion(50),
                "aligned": diffusion(True, "the start is the measurement under noise"),
            },
            metrics=scores(("psnr", "lpips-vgg")),
            count=task(1000, "data root 1000samples") if dataset == FFHQ else None,
            **of_task(task),
        )

    return (
        setup("super_resolution", 1.0, _x4),
        setup("gaussian_deblur", 0.4, gaussian_deblur),
        setup("motion_deblur", 0.4, lambda task: motion_deblur(task, each=once)),
        setup("inpainting", 1.0, lambda task: random_mask(task, 0.7, 0.9, each=anew)),
    )


def _dps(dataset: str) -> tuple[Setup, ...]:
    process, loop, masks, operators, scores = of(
        "dps",
        "configs/diffusion_config.yaml",
        "sample_condition.py",
        "util/img_utils.py",
        "guided_diffusion/measurements.py",
        "util/compute_metric.py",
    )
    anew, once = loop(True, "a mask for each picture"), operators(False, "the operator draws one kernel")

    def setup(file: str, scale: float, of_task: OfTask, *remarks: str) -> Setup:
        (task,) = of("dps", f"configs/{file}_config.yaml")
        return Setup(
            method="dps",
            dataset=dataset,
            noise_std=task(0.05, "sigma"),
            settings={"num_steps": process(1000), "scale": task(scale)},
            metrics=scores(("psnr", "lpips-vgg")),
            remarks=remarks,
            **of_task(task),
        )

    restless = "the authors draw another blur at every evaluation of the operator; here it is one throughout"
    ours = operators(False, "there at every evaluation")

    def phase(task: Source) -> Mapping[str, Any]:
        options = {"oversample": task(2.0), "padded": operators("signed", "the image on [-1, 1]")}
        return {"task": "phase_retrieval", "options": options}

    return (
        setup("super_resolution", 0.3, _x4),
        setup("gaussian_deblur", 0.3, gaussian_deblur),
        setup("motion_deblur", 0.3, lambda task: motion_deblur(task, each=once)),
        setup("inpainting", 0.5, lambda task: random_mask(task, 0.3, 0.7, each=anew)),
        setup("inpainting", 0.5, lambda task: box_mask(task, masks, 16, each=anew)),
        setup("nonlinear_deblur", 0.3, lambda task: nonlinear_deblur(task, operators, each=ours), restless),
        setup("phase_retrieval", 1.0, phase),
    )


def _daps(dataset: str) -> tuple[Setup, ...]:
    grid, operators, data, scores = of(
        "daps",
        "config/sampler/edm_daps.yaml",
        "forward_operator/__init__.py",
        f"config/data/{dataset}.yaml",
        "eval.py",
    )
    present = PAPERS["daps"]._replace(commit="098df6b7643c23f0de21064124f383c3945348a6")
    commands = Source(present, f"commands/pixel_{dataset}.sh")
    once = operators(False, "the operator keeps the first that it draws")
    levels = {"num_steps": 200, "ode_steps": 5, "sigma_max": 100.0, "sigma_min": 0.1}

    def setup(file: str, learning_rate: float, of_task: OfTask, runs: Value | None = None) -> Setup:
        (task,) = of("daps", f"config/task/{file}.yaml")
        chain = {"langevin_steps": 100, "learning_rate": learning_rate, "lr_min_ratio": 0.01, "tau": 0.01}
        return Setup(
            method="daps",
            dataset=dataset,
            noise_std=task(0.05, "sigma"),
            settings={**each_of(grid, levels), **each_of(task, chain)},
            metrics=scores(("psnr", "lpips-piq")),
            count=data(100, "end_id"),
            runs=runs,
            **of_task(task),
        )

    return (
        setup("down_sampling", 1e-4, _x4),
        setup("gaussian_blur", 1e-4, gaussian_deblur),
        setup("motion_blur", 5e-5, lambda task: motion_deblur(task, each=once)),
        setup("inpainting_rand", 1e-4, lambda task: random_mask(task, 0.7, 0.71, each=once)),
        setup("inpainting", 5e-5, lambda task: box_mask(task, operators, 32, each=once)),
        setup("phase_retrieval", 5e-5, _phase, commands(4, "num_runs; of each picture and score the best counts")),
        setup("nonlinear_blur", 5e-5, lambda task: nonlinear_deblur(task, operators, each=once)),
        setup("hdr", 2e-5, _over_exposure),
    )


def _mmps() -> tuple[Setup, ...]:
    runner, script, masks, operators, solver = of(
        "mmps",
        "run.py",
        "scripts/make_metrics.sh",
        "util/img_utils.py",
        "guided_diffusion/measurements.py",
        "guided_diffusion/condition_methods.py",
    )
    anew, once = runner(True, "a mask for each picture"), operators(False, "the operator draws one kernel")

    def setup(file: str, noise_std: float, solver_steps: Value, of_task: OfTask) -> Setup:
        (task,) = of("mmps", f"configs/tasks/{file}_config.yaml")
        return Setup(
            method="mmps",
            dataset=FFHQ,
            name=f"{solver_steps.value}-iterations" if solver_steps.value > 1 else "",
            variant=solver_steps.value > 1,
            noise_std=task(noise_std, "sigma"),
            settings={
                "num_steps": runner(100, "10, 100 and 1000 are compared"),
                "solver": solver("gmres"),
                "solver_steps": solver_steps,
            },
            metrics=runner(("psnr", "ssim", "lpips-alex"), "of piqa, whose LPIPS takes AlexNet"),
            **of_task(task),
        )

    return tuple(
        setup(*of_setup)
        for solver_steps in (runner(1, "maxiter"), script(5, "maxiter"))
        for of_setup in (
            ("super_resolution", 0.1, solver_steps, _x4),
            ("gaussian_deblur", 0.05, solver_steps, gaussian_deblur),
            ("motion_deblur", 0.1, solver_steps, lambda task: motion_deblur(task, each=once)),
            ("inpainting_random", 0.01, solver_steps, lambda task: random_mask(task, 0.98, 0.98, each=anew)),
            ("inpainting_box", 1.0, solver_steps, lambda task: box_mask(task, masks, 16, each=anew)),
        )
    )


SETUPS = (
    tuple(setup for rows in (_spgd, _dpps, _dps, _daps) for dataset in (FFHQ, IMAGENET) for setup in rows(dataset))
    + _mmps()
)
