"""Which method is best when evaluations are few? Linear tasks at one budget, each method by several of its settings.

    python -m benchmarks.budget FOLDER [--budget 30] [--size 128] [--tasks super_resolution] [--methods pspgd diffpir]

An evaluation is a forward pass, a gradient through the network counts as one more, and one of a reduced picture as the
share of its pixels. Every method answers once, with the settings for the bundled prior but for its number of steps,
which the budget allows, and what trades its PSNR for texture, of which several values are tried. The table says which
of these another one betters in both PSNR and LPIPS: what is left is worth choosing among.
"""

from collections.abc import Iterator
from typing import Any

import jaxrestore as jr
from benchmarks import _varied
from jaxrestore import methods

TASKS = ("super_resolution", "gaussian_deblur", "motion_deblur", "inpainting_random", "denoising")
# Method -> the setting that the budget bounds, and the settings that are tried beside it.
TRIED: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "pspgd": ("evaluations", ({"detail": 0.0}, {"detail": 0.5}, {"detail": 1.0})),
    "pdpps": ("num_steps", ({},)),
    "pigdm": ("num_steps", ({},)),
    "mmps": ("num_steps", ({},)),
    "diffpir": ("num_steps", ({"zeta": 0.3}, {"zeta": 0.5}, {"zeta": 0.75}, {"zeta": 1.0})),
    "ddnm": ("num_steps", ({"eta": 0.3}, {"eta": 0.5}, {"eta": 0.85}, {"eta": 1.0})),
    "ddpg": ("num_steps", ({"zeta": 0.5}, {"zeta": 1.0})),
    "ddrm": ("num_steps", ({"eta": 0.3}, {"eta": 0.85}, {"eta": 1.0})),
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
    tuned = task.for_method(method)
    for varied in tried:
        changed = {**varied, "mean_of": 1}
        counts = [n for n in range(1, round(budget) + 1) if _fits(method, {**tuned, **changed, bounded: n}, budget)]
        if counts:
            words = ", ".join(f"{name} {value:g}" for name, value in varied.items()) or "as tuned"
            yield words, {**changed, bounded: counts[-1]}


def _fits(method: str, settings: dict[str, Any], budget: float) -> bool:
    """Whether settings are possible, and cost no more than a budget."""
    try:
        return cost(method, settings) <= budget
    except ValueError:  # too few steps for this method
        return False


def main() -> None:
    """Measure the cells that are due, then print the table."""
    parser = _varied.parser(__doc__, TASKS, list(TRIED))
    parser.add_argument("--budget", type=float, default=30.0, help="evaluations, gradients included")
    arguments = parser.parse_args()
    _varied.measure("budget", arguments, lambda task, method: affordable(task, method, arguments.budget))


if __name__ == "__main__":
    main()
