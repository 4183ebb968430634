"""How far are pictures from those of a data set? The Fréchet inception distance (FID) of two folders.

    python -m benchmarks.fid FOLDER_A FOLDER_B --weights DIR [--variant torch-fidelity] [--cache DIR] [--out FILE.json]

DIR holds Inception weights, written by `python -m convert_weights inception`. The variants are those of the two PyTorch
packages, whose figures differ slightly. In place of a folder, a file of statistics (.npz) will do: those that `--cache`
keeps, or those of pytorch-fid. The figure is printed; nothing is written but what `--cache` and `--out` name.
"""

import json
import pathlib

from benchmarks import _results, _run
from jaxrestore.metrics.fid import frechet_distance, measure
from jaxrestore.metrics.inception import VARIANTS, load_inception
from jaxrestore.storage import before, weights
from jaxrestore.storage.files import replacing


def main() -> None:
    """Measure both, and print their distance with its variant."""
    parser = _run.parser(__doc__)
    parser.add_argument("sources", nargs=2, type=pathlib.Path, metavar="FOLDER", help="pictures, or statistics (.npz)")
    parser.add_argument("--weights", type=pathlib.Path, help="folder of Inception weights; not needed for statistics")
    parser.add_argument("--variant", default="pytorch-fid", choices=list(VARIANTS))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--cache", type=pathlib.Path, help="folder in which statistics of pictures are kept")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file for the figure")
    arguments = parser.parse_args()

    if arguments.out is not None:
        before.check_writable([arguments.out])
    params = load_inception(arguments.weights) if arguments.weights else None
    if params is None and any(source.suffix != ".npz" for source in arguments.sources):
        parser.error("give --weights: a folder of pictures is to be measured")
    a, b = (
        measure(
            source,
            params,
            variant=arguments.variant,
            batch_size=arguments.batch_size,
            cache=arguments.cache,
            progress=True,
        )
        for source in arguments.sources
    )
    distance = frechet_distance(a, b)
    print(f"FID ({arguments.variant}) {distance:.4f}")
    if arguments.out is None:
        return
    report = {
        "benchmark": "fid",
        **_results.stamp(),
        "variant": arguments.variant,
        "fid": distance,
        "sources": [source.name for source in arguments.sources],
        "pictures": [a.count, b.count],
        "weights": weights.read_header(arguments.weights, "inception", set())["sha256"] if params else None,
    }
    with replacing(arguments.out) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
