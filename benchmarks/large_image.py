"""Large images by tiles, and from a coarse grid to the whole: do seams show, how much memory and time does it take?

    python -m benchmarks.large_image FOLDER [--size 1024] [--method pspgd] [--grids 1 3] [--save DIR]

The pictures' centres are degraded and restored with the bundled prior, whole and by tiles, on as many grids as asked.
At the tiles' borders two things are compared with the rest of the picture: the error, and the jump of the error from
one pixel to the next across the border. Memory is what XLA reserves for a likelihood gradient, known before running.
"""

import itertools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _metrics, _photographs, _run, networks
from jaxrestore import evaluation, images, methods
from jaxrestore.methods import METHODS
from jaxrestore.priors import Prior, TiledPrior
from jaxrestore.priors.tiled import tile_starts

_NEAR = 4  # pixels on either side of a border that count as near it


def borders(size: int, tile: int, overlap: int) -> np.ndarray:
    """First pixels after each border that lies inside the image."""
    starts = tile_starts(size, tile, overlap)
    return np.unique(np.concatenate([starts[1:], starts[:-1] + tile]))


def seams(error: np.ndarray, places: np.ndarray) -> dict[str, float]:
    """Ratios, borders over elsewhere, of root mean squared error and of its jumps; `error` (H, W, C), H = W."""
    near = np.zeros(len(error), bool)
    for place in places:
        near[max(place - _NEAR, 0) : place + _NEAR] = True
    near_in_2d = near[:, None] | near[None, :]
    squares = np.square(error).mean(-1)
    jumps = [np.square(np.diff(error, axis=axis)).mean((1 - axis, 2)) for axis in (0, 1)]  # by line
    at_border = np.isin(np.arange(1, len(error)), places)
    at_borders, elsewhere = (np.mean([j[lines].mean() for j in jumps]) for lines in (at_border, ~at_border))
    return {
        "error": float(np.sqrt(squares[near_in_2d].mean() / squares[~near_in_2d].mean())),
        "jump": float(np.sqrt(at_borders / elsewhere)),
    }


def gradient_mb(prior: Prior, degradation: jr.Degradation) -> float:
    """Temporary memory of a likelihood gradient, in MB."""

    def loss(x, prior):
        return jnp.sum(jnp.square(degradation.operator(prior.denoise(x, jnp.float32(0.5)))))

    shape = jax.ShapeDtypeStruct(degradation.image_shape, jnp.float32)
    memory: Any = jax.jit(jax.grad(loss)).lower(shape, prior).compile().memory_analysis()
    return memory.temp_size_in_bytes / 1e6


def measure(
    task: jr.Task,
    sampler: jr.Sampler,
    prior: Prior,
    photographs: _photographs.Photographs,
    places: np.ndarray,
    lpips: evaluation.Perceptual,
) -> tuple[dict[str, Any], np.ndarray]:
    """A cell, and the restored pictures; `places` are the tiles' borders."""
    truths = photographs.stack
    result = evaluation.evaluate(
        sampler, prior, task.degradation, truths, key=jax.random.key(0), lpips=lpips, batch_size=1, progress=True
    )
    ratios = [seams(restored - truth, places) for restored, truth in zip(result.restored, truths, strict=True)]
    cell = {
        "mean": evaluation.mean_scores(result.scores)._asdict(),
        "borders_over_elsewhere": {kind: float(np.mean([r[kind] for r in ratios])) for kind in ("error", "jump")},
        "seconds_per_image": result.seconds / len(truths),
        "gradient_mb": gradient_mb(prior, task.degradation),
    }
    return cell, result.restored


def main() -> None:
    """Measure the cells that are due, and print each."""
    parser = _run.parser(__doc__)
    _photographs.add_options(parser, size=1024)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--task", default="super_resolution", choices=_photographs.TASKS)
    parser.add_argument("--method", default="ddnm", choices=list(METHODS))
    parser.add_argument("--grids", nargs="+", type=int, default=[1])
    parser.add_argument("--save", type=pathlib.Path, help="folder for the restored pictures")
    _metrics.add_options(parser)
    _cells.add_options(parser)
    arguments = parser.parse_args()
    lpips = _metrics.load(arguments)
    photographs = _photographs.load(arguments)
    cells = _cells.Cells(_metrics.file_name("large_image", lpips), arguments)

    whole = jr.load_prior("photo")
    tiled = TiledPrior(whole, tile=arguments.tile, overlap=arguments.overlap)
    task = jr.task(arguments.task, image_shape=photographs.stack.shape[1:])
    facts = {name: getattr(arguments, name) for name in ("task", "method", "tile", "overlap")}
    facts |= {**networks.photo_facts(), **photographs.facts, **_metrics.facts(lpips), "dtype": whole.config.dtype}
    places = borders(arguments.size, arguments.tile, arguments.overlap)
    if not len(places):
        parser.error(f"--tile is {arguments.tile}, expected less than --size, {arguments.size}: there is no border")
    priors = {"whole": whole, "tiled": tiled}
    # All samplers are made, and so all options checked, before the first one runs.
    samplers = {grids: task.sampler(arguments.method, grids=grids) for grids in arguments.grids}
    for grids, (name, prior) in itertools.product(arguments.grids, priors.items()):
        settings = {**task.for_method(arguments.method), "grids": grids}
        facts["settings"] = methods.get(arguments.method).complete(settings)
        name = name if grids == 1 else f"{name}, {grids} grids"
        if not cells.due(name, facts):
            continue
        cell, restored = measure(task, samplers[grids], prior, photographs, places, lpips)
        cells.write({name: {**facts, **cell}})
        print(name, {**_metrics.facts(lpips), **cell}, flush=True)
        if arguments.save:
            for path, image in zip(photographs.paths, restored, strict=True):
                images.save(arguments.save / f"{path.stem}-{name}.png", image, overwrite=True)
    print(cells.path)


if __name__ == "__main__":
    main()
