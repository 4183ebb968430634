"""How well does a prior denoise? PSNR on whole colour pictures, beside the figures of published denoisers.

    python -m benchmarks.denoising FOLDER [--prior photo] [--sigmas 15 25 35 50 75]

The yardstick of the denoising papers: white noise of standard deviation sigma / 255 on pictures in [0, 1], neither
clipped nor rounded, and the mean over the pictures of the PSNR of what the denoiser makes of it, rounded to 8 bits as
the papers' codes do. Pictures may have any size. Each has its own noise, the same for every prior and, but for its
strength, for every sigma. Where the folder is CBSD68 (68 pictures of 481x321 pixels), published figures stand beside.
"""

import collections
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _photographs, _results, _run
from benchmarks._tables import Cells, markdown
from jaxrestore import images
from jaxrestore.priors import Prior
from jaxrestore.priors.checkpoint import BUNDLED, bundled_priors
from jaxrestore.storage import weights

SIGMAS = (15.0, 25.0, 35.0, 50.0, 75.0)

# Mean PSNR on CBSD68 in dB, by sigma; levels that a source does not have are left out.
PUBLISHED: Mapping[str, Mapping[float, float]] = {
    # FFDNet (Zhang et al. 2018, arXiv 1710.04026), the table of colour pictures. Its DnCNN is the one network for all
    # levels to 55, so 75 is beyond what it was trained on.
    "CBM3D": {15: 33.52, 25: 30.71, 35: 28.89, 50: 27.38, 75: 25.74},
    "DnCNN": {15: 33.89, 25: 31.23, 35: 29.58, 50: 27.92, 75: 24.47},
    "FFDNet": {15: 33.87, 25: 31.21, 35: 29.58, 50: 27.96, 75: 26.24},
    # Plug-and-Play Image Restoration with Deep Denoiser Prior (Zhang et al. 2021, arXiv 2008.13751), the table of
    # colour pictures.
    "DRUNet": {15: 34.30, 25: 31.69, 50: 28.51},
    # Restormer (Zamir et al. 2022, arXiv 2111.09881), Gaussian colour denoising with a network for each level.
    "Restormer": {15: 34.40, 25: 31.79, 50: 28.60},
}
_CBSD68 = {"321x481", "481x321"}, 68  # shapes and number of its pictures


class Pictures(NamedTuple):
    """Clean pictures of any sizes."""

    paths: list[pathlib.Path]
    clean: list[np.ndarray]  # (H, W, 3), float32 in [-1, 1]

    @property
    def facts(self) -> dict[str, Any]:
        """What a cell that is made of these pictures states of them."""
        shapes = collections.Counter(f"{picture.shape[0]}x{picture.shape[1]}" for picture in self.clean)
        return {"shapes": dict(shapes), "files_sha256": _photographs.files_sha256(self.paths)}


def load(folder: pathlib.Path) -> Pictures:
    """All pictures of a folder, whole."""
    paths = images.find(folder)
    return Pictures(paths, [images.load(path) for path in paths])


def prior_facts(name: str) -> dict[str, Any]:
    """What a cell that is made with a prior states of it: the checksum of its parameters.

    Args:
      name: A bundled prior's name, or a folder.
    """
    folder = BUNDLED / name if name in bundled_priors() else pathlib.Path(name)
    return {"prior": weights.read_header(folder, "prior", set())["sha256"]}


def noisy(clean: np.ndarray, sigma: float, index: int) -> tuple[np.ndarray, np.float32]:
    """A picture in [-1, 1] with noise of sigma / 255 on [0, 1], and the noise level on the picture's scale.

    The noise depends on the picture's index and shape alone.
    """
    level = np.float32(2 * sigma / 255)
    return clean + level * np.random.default_rng((0, index)).standard_normal(clean.shape, np.float32), level


@jax.jit
def denoise(prior: Prior, x: jax.Array, sigma: jax.Array) -> jax.Array:
    """One picture; compiled once for each size."""
    return prior.denoise(x, sigma)


def psnr(denoised: np.ndarray, clean: np.ndarray) -> float:
    """PSNR in dB as if stored in 8 bits."""
    stored = images.from_uint8(images.to_uint8(denoised))
    return float(jr.metrics.psnr(jnp.asarray(stored), jnp.asarray(clean)))


def measure(prior: Prior, pictures: Pictures, sigma: float) -> dict[str, Any]:
    """A cell: the scores, and how long a picture took, compilation included."""
    scores, started = {}, time.perf_counter()
    for index, (path, clean) in enumerate(zip(pictures.paths, pictures.clean, strict=True)):
        x, level = noisy(clean, sigma, index)
        scores[path.name] = psnr(np.asarray(denoise(prior, jnp.asarray(x), jnp.asarray(level))), clean)
    return {
        "psnr": float(np.mean(list(scores.values()))),
        "pictures": scores,
        "seconds_per_picture": (time.perf_counter() - started) / len(scores),
    }


def is_cbsd68(shapes: Mapping[str, int]) -> bool:
    """Whether pictures are as many as those of CBSD68, and of their sizes."""
    sizes, count = _CBSD68
    return set(shapes) <= sizes and sum(shapes.values()) == count


def table(cells: Cells, folder: str) -> str:
    """A row for each prior that was measured on a folder, then for each published denoiser; a column for each sigma."""
    rows: dict[str, dict[float, float]] = {}
    for label, cell in cells.items():
        of_folder, prior, sigma = label.split("/")
        if of_folder == folder:
            rows.setdefault(prior, {})[float(sigma)] = cell["psnr"]
    sigmas = sorted({sigma for row in rows.values() for sigma in row})
    if all(is_cbsd68(cell["shapes"]) for label, cell in cells.items() if label.startswith(f"{folder}/")):
        rows |= {f"{name} (published)": dict(row) for name, row in PUBLISHED.items()}
    head = ("PSNR, dB", *(f"sigma {sigma:g}" for sigma in sigmas))
    return markdown(
        head, [(name, *(f"{row[s]:.2f}" if s in row else "" for s in sigmas)) for name, row in rows.items()]
    )


def main() -> None:
    """Measure the cells that are due, then print the table."""
    parser = _run.parser(__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="clean pictures")
    parser.add_argument("--prior", default="photo", help="a bundled prior's name, or a folder")
    parser.add_argument("--sigmas", nargs="+", type=float, default=SIGMAS, help="standard deviations, of 255")
    _cells.add_options(parser)
    arguments = parser.parse_args()
    pictures, prior = load(arguments.folder), jr.load_prior(arguments.prior)
    cells = _cells.Cells("denoising", arguments)
    folder = arguments.folder.resolve().name
    for sigma in arguments.sigmas:
        label = f"{folder}/{pathlib.Path(arguments.prior).name}/{sigma:g}"
        facts = {**prior_facts(arguments.prior), **pictures.facts, "dtype": prior.config.dtype}
        if cells.due(label, facts):
            cells.write({label: {**facts, **measure(prior, pictures, sigma)}})
    print(table(_results.read("denoising").get("cells", {}), folder))
    print(cells.path)


if __name__ == "__main__":
    main()
