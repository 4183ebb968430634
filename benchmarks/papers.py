"""What a paper's experiment gives with its network: its operator, noise, masks, settings and metrics over a folder.

    python -m benchmarks.papers spgd --prior DIR --data FOLDER [--dataset ffhq] [--task super_resolution] [--count 100]

Every row of `jaxrestore.published` of the method, data set and tasks is degraded, restored and scored; `--list` prints
them, `--estimate` what they cost. Pictures are written to `--out` as they come, with a sheet of the first ones; the
scores to benchmarks/results/papers-DEVICE.json and .md. The same command goes on after a stop; several processes share
the pictures with `--distributed`, several devices each batch.
"""

import argparse
import ast
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _experiments, _results, _run, networks, render
from benchmarks._experiments import Experiment, Series
from jaxrestore import images, parallel, published
from jaxrestore.priors import NetworkPrior, Prior
from jaxrestore.priors.network import abstract_params
from jaxrestore.published import Setup

_PRESETS = {"ffhq": "ffhq256", "imagenet": "imagenet256"}  # data set -> the network that the papers take for it
_RATE = 400.0  # TFLOP/s: two fifths of the 989 that an H200 is stated to reach on dense bfloat16 products


def arguments_of(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = _run.parser(__doc__)
    parser.add_argument("method", choices=list(published.PAPERS))
    parser.add_argument("--prior", help="the network: folder of convert_weights, or a name that load_prior takes")
    parser.add_argument("--data", type=pathlib.Path, help="folder of clean pictures")
    parser.add_argument("--dataset", choices=published.DATASETS, help="whose rows; by default the method's first")
    parser.add_argument("--task", nargs="+", choices=list(jr.TASKS), help="by default all that are published")
    parser.add_argument("--name", help="only rows of this name; variants of a method run only so")
    parser.add_argument("--count", type=int, help="the first so many pictures; by default as many as published")
    parser.add_argument("--out", type=pathlib.Path, default=_results.RESULTS / "papers", help="folder for the pictures")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="by default the prior's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mask", type=pathlib.Path, help="for given masks: a picture, or a folder of one a picture")
    parser.add_argument("--weights", type=pathlib.Path, help="of the nonlinear blur, converted")
    parser.add_argument("--lpips-weights", type=pathlib.Path, help="of VGG, converted, for papers that report it")
    parser.add_argument("--no-lpips", action="store_true", help="score without LPIPS")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting")
    parser.add_argument("--size", type=int, default=_experiments.SIDE, help="side of the pictures, for trials")
    parser.add_argument("--distributed", metavar="WHERE", help="auto, or I/N@HOST:PORT for process I of N")
    parser.add_argument("--list", action="store_true", help="print the rows with the source of each value, and stop")
    parser.add_argument("--estimate", action="store_true", help="print what the rows cost, and stop")
    parser.add_argument("--rate", type=float, default=_RATE, help="TFLOP/s that --estimate assumes of one device")
    _cells.add_options(parser)
    arguments = parser.parse_args(words)
    if not (arguments.list or arguments.estimate) and not (arguments.prior and arguments.data):
        parser.error("--prior and --data are required, unless with --list or --estimate")
    return arguments


def chosen(arguments: argparse.Namespace) -> list[Setup]:
    """The rows that are asked for.

    Raises:
      SystemExit: If there are none; it says what there is.
    """
    of_method = published.find(arguments.method)
    dataset = arguments.dataset or of_method[0].dataset
    rows = [
        setup
        for setup in of_method
        if setup.dataset == dataset
        and (not arguments.task or setup.task in arguments.task)
        and (setup.name == arguments.name if arguments.name else not setup.variant)
    ]
    if not rows:
        raise SystemExit(f"nothing of the kind is published; there are {', '.join(s.label for s in of_method)}")
    return rows


def possible(setup: Setup, arguments: argparse.Namespace) -> bool:
    """Whether the files that a row needs are given.

    Raises:
      SystemExit: If not, and the row's task was asked for.
    """
    missing = [f"--{name} ({what.value})" for name, what in setup.given.items() if getattr(arguments, name) is None]
    if missing and arguments.task:
        raise SystemExit(f"{setup.label} needs {', '.join(missing)}")
    if missing:
        print(f"{setup.label} is passed over: it needs {', '.join(missing)}")
    return not missing


def experiment_of(setup: Setup, arguments: argparse.Namespace) -> Experiment:
    """A row with what the command line brings to it.

    Raises:
      SystemExit: If its scores need weights that are not given.
    """
    names = setup.metrics.value if setup.metrics else ("psnr",)
    names = tuple(name for name in names if not (arguments.no_lpips and name.startswith("lpips")))
    if arguments.lpips_weights is None and {"lpips-vgg", "lpips-piq"} & set(names):
        raise SystemExit(
            f"{setup.label} is scored by LPIPS with VGG, whose weights are not bundled: convert them with `python -m "
            "convert_weights lpips` and give --lpips-weights DIR; or leave it out with --no-lpips"
        )
    _experiments.check_scores(names, arguments.lpips_weights, arguments.size)
    return Experiment(
        setup,
        side=arguments.size,
        seed=arguments.seed,
        mask=arguments.mask if "mask" in setup.given else None,
        weights=arguments.weights if "weights" in setup.given else None,
        changes=dict(map(_change, arguments.set)),
        lpips=arguments.lpips_weights,
        metrics=names,
    )


def _change(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        raise SystemExit(f"--set is {text!r}, expected NAME=VALUE, e.g. momentum=0.0") from None


def print_rows(setups: Sequence[Setup]) -> None:
    """Every value of some rows with its source."""
    for setup in setups:
        print(setup.label)
        for name, value in setup.values():
            note = f" ({value.note})" if value.note else ""
            print(f"  {name} = {_experiments.json_safe(value.value)}{note}  {value.source.link}")
        for remark in setup.remarks:
            print(f"  {remark}")
    for absent in published.ABSENT:
        if absent.method == setups[0].method:
            print(f"not stated: {absent.what}: {absent.why}")


def estimate(setups: Sequence[Setup], arguments: argparse.Namespace) -> str:
    """What rows cost: evaluations of the network, their operations, and hours at an assumed rate, as a table."""
    if arguments.prior:
        prior = jr.load_prior(arguments.prior)
    elif setups[0].dataset in _PRESETS:
        config = networks.published_config(_PRESETS[setups[0].dataset])
        shapes: Any = abstract_params(config)  # of weights that nobody needs to count operations
        prior = NetworkPrior(shapes, config=config)
    else:
        raise SystemExit(f"no preset is the network of {setups[0].dataset}; give --prior")
    flops = networks.forward_flops(prior, arguments.size)
    rows = []
    for setup in setups:
        runs, count = Experiment(setup).evaluations(), arguments.count or (setup.count.value if setup.count else None)
        per_picture = sum(runs) * flops / 1e12
        hours = f"{per_picture * count / arguments.rate / 3600:.2g}" if count else "count not published"
        cells = (setup.label, str(runs.forward), str(runs.gradients), f"{per_picture:.0f}", str(count or ""), hours)
        rows.append(cells)
    head = ("experiment", "passes", "gradients", "TFLOP a picture", "pictures", f"hours at {arguments.rate:g} TFLOP/s")
    return f"{flops / 1e12:.3f} TFLOP a pass at {arguments.size}x{arguments.size}\n\n{render.markdown(head, rows)}"


def prior_facts(prior: NetworkPrior) -> dict[str, Any]:
    """What tells a network from others, wherever it came from."""
    digest = hashlib.sha256()
    for name, parameter in sorted(prior.params.items()):
        digest.update(name.encode() + np.asarray(parameter).tobytes())
    return {"prior": digest.hexdigest(), "dtype": prior.config.dtype}


def cell_of(
    experiment: Experiment, facts: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The cell of an experiment all of whose pictures are done."""
    scored = {name: record["scores"] for name, record in records.items() if record["scores"]}
    seconds = [record["seconds"] for record in records.values() if record["seconds"] is not None]
    columns = {name: [scores[name] for scores in scored.values()] for name in experiment.metrics}
    return {
        **facts,
        "evaluations": experiment.evaluations()._asdict(),
        "mean": {name: float(np.mean(column)) for name, column in columns.items()} if scored else None,
        "seconds_per_image": float(np.median(seconds)) if seconds else None,
        "pictures": scored,
        "diverged": sorted(set(records) - set(scored)),
        "published": published.to_json(experiment.setup),
    }


def run(series: Series, cells: _cells.Cells, facts: Mapping[str, Any], prior: Prior, batch_size: int) -> bool:
    """Restore what is missing of an experiment; whoever finds all of it done writes its cell and its sheet.

    Returns:
      Whether it was this process.
    """
    label = series.experiment.setup.label
    print(label, flush=True)
    series.restore(prior, batch_size=batch_size, again=cells.again, progress=True)
    records = {path.name: series.record(path) for path in series.paths}
    complete = {name: record for name, record in records.items() if record is not None}
    if len(complete) < len(records):
        print(f"{label}: {len(records) - len(complete)} pictures are still with other processes")
        return False
    print(series.sheet())
    cells.write({label: cell_of(series.experiment, facts, complete)})
    return True


def main(words: Sequence[str] | None = None) -> None:
    """Run the rows that are due, then print the table."""
    arguments = arguments_of(words)
    setups = chosen(arguments)
    if arguments.list:
        print_rows(setups)
        return
    if arguments.estimate:
        print(estimate(setups, arguments))
        return
    if arguments.distributed:
        parallel.join(arguments.distributed)
    experiments = [experiment_of(setup, arguments) for setup in setups if possible(setup, arguments)]
    pictures = images.find(arguments.data)
    if len({path.stem for path in pictures}) < len(pictures):
        raise SystemExit(f"{arguments.data} holds pictures that differ by their suffix alone: rename them")
    prior = jr.load_prior(arguments.prior, **({"dtype": arguments.dtype} if arguments.dtype else {}))
    network = prior_facts(prior)
    cells, finished = _cells.Cells("papers", arguments), jax.process_index() == 0
    for experiment in experiments:
        setup = experiment.setup
        count = arguments.count or (setup.count.value if setup.count else len(pictures))
        paths = pictures[:count]
        if experiment.mask is not None and experiment.mask.is_dir():
            unmasked = [path.name for path in paths if not (experiment.mask / path.name).exists()]
            if unmasked:
                raise SystemExit(f"{experiment.mask} lacks masks for {', '.join(unmasked[:5])}; name them so")
        if len(paths) < count:
            print(f"{setup.label} is over {count} pictures; {arguments.data} has {len(paths)}")
        files = "".join(f"{path.name} {path.stat().st_size} " for path in paths)
        facts = {**experiment.facts(), **network, "files_sha256": hashlib.sha256(files.encode()).hexdigest()}
        if cells.due(setup.label, {**facts, "count": len(paths)}):
            series = Series(experiment, paths, network, arguments.out / setup.label)
            finished |= run(series, cells, {**facts, "count": len(paths)}, prior, arguments.batch_size)
    if cells.path.exists() and finished:
        render.render(cells.path)


if __name__ == "__main__":
    main()
