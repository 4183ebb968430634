"""Does grey stay grey? Colour casts and the pattern of the patches in what a prior denoises.

    python -m benchmarks.tint FOLDER [--prior photo] [--sigmas 5 25 100] [--size 257]

Grey pictures with coloured noise (of standard deviation sigma / 255 on [0, 1]) are denoised: flat ones of several
levels, and the photographs of the folder without their colours. Two things are measured, over the whole picture and
along its right and lower border, which the network continues by reflection where a side is no multiple of its stride
(a side of 257 pixels is none of any):

- tint: means over blocks of 32x32 pixels, the largest difference between two colours in 8-bit levels. That of the noisy
  picture stands beside: as much would be left of a prior that does nothing. In the mean of the whole picture noise
  counts for less, and a constant cast as much.
- grid: the error at the frequencies of the network's patches, its root mean square in 8-bit levels, and its energy over
  that of the frequencies around them. An energy of 1 is no pattern.
"""

import collections
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _photographs, _run
from benchmarks.denoising import denoise, noisy, prior_facts

SIGMAS = (5.0, 25.0, 100.0)
LEVELS = (32, 80, 128, 176, 224)  # of the flat pictures, of 255
_BLOCK = 32  # pixels, also the width of a border
_AROUND = 2  # how many frequencies to each side are the surroundings of one

Denoise = Callable[[np.ndarray, np.float32], np.ndarray]


def tints(picture: np.ndarray) -> np.ndarray:
    """For each position of a block in a picture (H, W, C): the largest difference between two of its colours' means.

    In 8-bit levels, of values in [-1, 1].
    """
    sums = np.pad(picture.astype(np.float64), ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    rows = sums[_BLOCK:] - sums[:-_BLOCK]
    means = (rows[:, _BLOCK:] - rows[:, :-_BLOCK]) / _BLOCK**2
    return np.ptp(means, axis=-1) * 127.5


def grid_squares(error: np.ndarray, patch: int) -> np.ndarray:
    """What the frequencies of patches add to the mean square of an error (H, W, C), and what as many around them do."""
    height, width = (n - n % patch for n in error.shape[:2])
    spectrum = np.fft.fft2(error[:height, :width], axes=(0, 1), norm="forward")
    power = np.square(np.abs(spectrum)).mean(-1)
    near = range(-_AROUND, _AROUND + 1)
    at_grid, around = 0.0, 0.0
    for i, j in np.ndindex(patch, patch):
        if (i, j) != (0, 0):
            centred = np.roll(power, (-i * height // patch, -j * width // patch), (0, 1))[np.ix_(near, near)]
            middle = centred[_AROUND, _AROUND]
            at_grid, around = at_grid + middle, around + (centred.sum() - middle) / (centred.size - 1)
    return np.array([at_grid, around])


def measure(denoised_by: Denoise, grey: Sequence[np.ndarray], sigma: float, patch: int) -> dict[str, Any]:
    """Tint and grid of grey pictures (H, W, 3): the largest tint of any, and the grid of all.

    Args:
      denoised_by: What denoises a picture at a noise level.
      grey: The pictures, in [-1, 1].
      sigma: Of 255.
      patch: Side of the network's patches; 1 has no grid.
    """
    found: dict[str, list[Any]] = collections.defaultdict(list)
    for index, clean in enumerate(grey):
        x, level = noisy(clean, sigma, index)
        denoised = denoised_by(x, level)
        for name, picture in (("tint", denoised), ("tint_of_noisy", x)):
            blocks = tints(picture)
            found[name].append(blocks.max())
            found[f"{name}_at_border"].append(max(blocks[-1].max(), blocks[:, -1].max()))
            found[f"{name}_of_whole"].append(127.5 * np.ptp(picture.mean((0, 1), dtype=np.float64)))
        error = denoised - clean
        found["grid"].append(grid_squares(error, patch))
        found["grid_at_border"] += [grid_squares(error[-_BLOCK:], patch), grid_squares(error[:, -_BLOCK:], patch)]
    cell: dict[str, float] = {}
    for name, values in found.items():
        if name.startswith("tint"):
            cell[name] = float(max(values))
        elif patch > 1:
            at_grid, around = np.mean(values, axis=0)
            cell[f"{name}_rms"], cell[f"{name}_energy"] = 127.5 * float(np.sqrt(at_grid)), float(at_grid / around)
    return cell


def flat_pictures(size: int) -> list[np.ndarray]:
    """One picture of each of `LEVELS`."""
    return [np.full((size, size, 3), level / 127.5 - 1, np.float32) for level in LEVELS]


def without_colour(photographs: np.ndarray) -> np.ndarray:
    """Photographs (N, H, W, 3) with the mean of their colours in each."""
    return np.repeat(photographs.mean(-1, keepdims=True), 3, axis=-1)


def main() -> None:
    """Measure the cells that are due, and print each."""
    parser = _run.parser(__doc__)
    _photographs.add_options(parser, size=257)
    parser.add_argument("--prior", default="photo", help="a bundled prior's name, or a folder")
    parser.add_argument("--sigmas", nargs="+", type=float, default=SIGMAS, help="standard deviations, of 255")
    _cells.add_options(parser)
    arguments = parser.parse_args()
    photographs, prior = _photographs.load(arguments), jr.load_prior(arguments.prior)
    cells = _cells.Cells("tint", arguments)
    pictures = {"flat": flat_pictures(arguments.size), "photographs": list(without_colour(photographs.stack))}

    def denoised_by(x: np.ndarray, level: np.float32) -> np.ndarray:
        return np.asarray(denoise(prior, jnp.asarray(x), jnp.asarray(level)))

    for sigma in arguments.sigmas:
        for kind, grey in pictures.items():
            label = f"{pathlib.Path(arguments.prior).name}/{sigma:g}/{kind}"
            facts = {**prior_facts(arguments.prior), "size": arguments.size, "dtype": prior.config.dtype}
            facts |= {"levels": LEVELS} if kind == "flat" else photographs.facts
            if cells.due(label, facts):
                cell = measure(denoised_by, grey, sigma, prior.config.patch_size)
                cells.write({label: {**facts, **cell}})
                print(label, *(f"{name} {value:.2f}" for name, value in cell.items()), sep="  ", flush=True)
    print(cells.path)


if __name__ == "__main__":
    main()
