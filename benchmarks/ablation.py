"""What the two ideas of DPPS gain, each alone: selection among candidates, and the aligned start.

    python -m benchmarks.ablation FOLDER [--size 128] [--methods dpps pdpps] [--tasks super_resolution]

Around DPS's likelihood (`dpps`) and around the preconditioned one (`pdpps`), with the settings that users get.
"""

import jax

import jaxrestore as jr
from benchmarks import _cells, _metrics, _photographs, _run, quality, render

VARIANTS = {
    "both": {},
    "selection": {"aligned": False},
    "aligned start": {"n_max": 1},
    "neither": {"n_max": 1, "aligned": False},
}
METHODS = ("dpps", "pdpps")
TASKS = ("super_resolution", "gaussian_deblur", "motion_deblur", "inpainting_random", "denoising")


def main() -> None:
    """Measure the cells that are due, then print the table."""
    parser = _run.parser(__doc__)
    _photographs.add_options(parser, size=128)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    _metrics.add_options(parser)
    _cells.add_options(parser)
    arguments = parser.parse_args()
    lpips = _metrics.load(arguments)
    photographs = _photographs.load(arguments)
    cells = _cells.Cells(_metrics.file_name("ablation", lpips), arguments)
    prior = jr.load_prior("photo")
    for name in arguments.tasks:
        task = jr.task(name, image_shape=photographs.stack.shape[1:], key=jax.random.key(1))
        for method in arguments.methods:
            for variant, changed in VARIANTS.items():
                label = f"{name}/{method}, {variant}"
                if quality.measure(cells, label, task, method, prior, photographs, lpips, changed) is not None:
                    print(label, flush=True)
    if cells.path.exists():
        render.render(cells.path)


if __name__ == "__main__":
    main()
