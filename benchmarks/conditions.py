"""Does a method ever harm? Every factor, size and noise with the settings that users get, against the simple answer.

    python -m benchmarks.conditions FOLDER [--pictures 2] [--methods pspgd pdpps] [--only factor size noise]

Super-resolution by 2, 3, 4 and 8; the linear tasks at sides of 64 to 512 pixels; and at noise from 0 to 0.4. The table
shows by how much PSNR exceeds that of the simple answer in the worst of each method's cells.
"""

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

import jaxrestore as jr
from benchmarks import _cells, _metrics, _photographs, _run, quality, render
from jaxrestore import methods
from jaxrestore.methods import METHODS

FACTORS = (2, 3, 4, 8)
SIDES = (64, 128, 256, 512)
NOISES = (0.0, 0.05, 0.1, 0.2, 0.4)
TASKS = ("super_resolution", "gaussian_deblur", "motion_deblur", "inpainting_random", "denoising")
USUAL_SIDE = 96  # a multiple of what all factors ask for


class Condition(NamedTuple):
    """One degradation."""

    axis: str  # "factor", "size" or "noise"
    task_name: str
    side: int
    options: dict[str, Any]
    noise_std: float | None

    @property
    def label(self) -> str:
        """What is particular about it."""
        value = {"factor": self.options.get("factor"), "size": self.side, "noise": self.noise_std}[self.axis]
        return f"{self.task_name}/{self.axis} {value}"


def conditions() -> Iterator[Condition]:
    """All of them, one axis after the other."""
    for factor in FACTORS:
        yield Condition("factor", "super_resolution", USUAL_SIDE, {"factor": factor}, None)
    for name in TASKS:
        for side in SIDES:
            yield Condition("size", name, side, {}, None)
    for name in TASKS:
        for noise_std in NOISES[name == "denoising" :]:  # without noise there is nothing to restore
            yield Condition("noise", name, USUAL_SIDE, {}, noise_std)


def main() -> None:
    """Measure the cells that are due, then print the table."""
    parser = _run.parser(__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="clean pictures; their centres are used")
    parser.add_argument("--pictures", type=int, default=2, help="take only the first so many")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--only", nargs="+", default=["factor", "size", "noise"], choices=["factor", "size", "noise"])
    _metrics.add_options(parser)
    _cells.add_options(parser)
    arguments = parser.parse_args()
    lpips = _metrics.load(arguments)
    cells = _cells.Cells(_metrics.file_name("conditions", lpips), arguments)
    prior = jr.load_prior("photo")
    for condition in conditions():
        if condition.axis not in arguments.only:
            continue
        arguments.size = condition.side
        try:
            photographs = _photographs.load(arguments)
        except SystemExit as error:
            print(f"{condition.label} is passed over: {error}")
            continue
        task = jr.task(
            condition.task_name,
            image_shape=photographs.stack.shape[1:],
            noise_std=condition.noise_std,
            key=jax.random.key(1),
            **condition.options,
        )
        for method in (m for m in arguments.methods if m in methods.able(task.degradation.operator)):
            label = f"{condition.label}/{method}"
            if quality.measure(cells, label, task, method, prior, photographs, lpips) is not None:
                print(label, flush=True)
    if cells.path.exists():
        render.render(cells.path)


if __name__ == "__main__":
    main()
