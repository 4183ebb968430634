"""What the two ideas of DPPS gain, each alone: selection among candidates, and the aligned start.

    python -m benchmarks.ablation FOLDER [--size 128] [--methods dpps pdpps] [--tasks super_resolution]

Around DPS's likelihood (`dpps`) and around the preconditioned one (`pdpps`), with the settings that users get.
"""

from benchmarks import _varied

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
    arguments = _varied.parser(__doc__, TASKS, METHODS).parse_args()
    _varied.measure("ablation", arguments, lambda task, method: VARIANTS.items())


if __name__ == "__main__":
    main()
