"""Which method is best when evaluations are few? Linear tasks at one budget, each method by several of its settings.

    python -m benchmarks.budget FOLDER [--budget 30] [--size 128] [--tasks super_resolution] [--methods pspgd diffpir]

An evaluation is a forward pass, a gradient through the network counts as one more, and one of a reduced picture as the
share of its pixels. Every method answers once, with the settings for the bundled prior but for its number of steps,
which the budget allows, and what trades its PSNR for texture, of which several values are tried. The table says which
of these another one betters in both PSNR and LPIPS: what is left is worth choosing among.
"""

from collections.abc import Iterator
from typing import Any

import jax

import jaxrestore as jr
from benchmarks import _cells, _metrics, _photographs, _run, quality, render
from jaxrestore import methods

TASKS = ("super_resolution", "gaussian_deblur", "motion_deblur", "inpainting_random", "denoising")
# Method -> the setting that the budget bounds, and the settings that are tried beside it.
TRIED: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "pspgd": ("evaluations", ({"detail": 0.0}, {"detail": 0.5}, {"detail": 1.0})),
    "pdpps": ("num_steps", ({},)),
    "pigdm": ("num_steps", ({},)),
    "mmps": ("num_steps", ({},)),
    "diffpir": ("num_steps", ({"zeta": 0.3}, {"zeta": 0.5}, {"zeta": 0.75}, {"zeta": 1.0})),
    "ddnm": ("num_steps", ({"eta": 0.5}, {"eta": 0.85}, {"eta": 1.0})),
    "ddpg": ("num_steps", ({"zeta": 0.5}, {"zeta": 1.0})),
    "ddrm": ("num_steps", ({"eta": 0.85}, {"eta": 1.0})),
    "daps": ("num_steps", ({},)),
}


def cost(method: str, settings: dict[str, Any]) -> float:
    """Evaluations that a method's settings take, gradients included."""
    evaluations = methods.get(method).evaluations(settings)
    return evaluations.forward + evaluations.gradients


def affordable(task: jr.Task, method: str, budget: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is tried of a method within a budget: words for it, and all that is changed of the task's settings.

    Nothing if even the smallest number of steps costs more.
    """
    bounded, tried = TRIED[method]
    for varied in tried:
        changed = {**varied, "mean_of": 1}
        fitting = None
        for count in range(1, round(budget) + 1):
            try:
                costs = cost(method, {**task.for_method(method), **changed, bounded: count})
            except ValueError:  # too few for this method
                continue
            if costs <= budget:
                fitting = count
        if fitting is not None:
            words = ", ".join(f"{name} {value:g}" for name, value in varied.items()) or "as tuned"
            yield words, {**changed, bounded: fitting}


def main() -> None:
    """Measure the cells that are due, then print the table."""
    parser = _run.parser(__doc__)
    _photographs.add_options(parser, size=128)
    parser.add_argument("--budget", type=float, default=30.0, help="evaluations, gradients included")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--methods", nargs="+", default=list(TRIED), choices=list(TRIED))
    _metrics.add_options(parser)
    _cells.add_options(parser)
    arguments = parser.parse_args()
    lpips = _metrics.load(arguments)
    photographs = _photographs.load(arguments)
    cells = _cells.Cells(_metrics.file_name("budget", lpips), arguments)
    prior = jr.load_prior("photo")
    for name in arguments.tasks:
        task = jr.task(name, image_shape=photographs.stack.shape[1:], key=jax.random.key(1))
        for method in [method for method in arguments.methods if method in methods.able(task.degradation.operator)]:
            for words, changed in affordable(task, method, arguments.budget):
                label = f"{name}/{method}, {words}"
                if quality.measure(cells, label, task, method, prior, photographs, lpips, changed) is not None:
                    print(label, flush=True)
    if cells.path.exists():
        render.render(cells.path)


if __name__ == "__main__":
    main()
