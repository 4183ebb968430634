"""`jaxrestore evaluate`."""

import json
import pathlib

import click
import numpy as np

from jaxrestore import evaluation, images, parallel
from jaxrestore.cli import _shared
from jaxrestore.priors import load_prior
from jaxrestore.storage.files import replacing
from jaxrestore.tasks import build_sampler


@click.command("evaluate")
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option("-o", "--out", type=click.Path(path_type=pathlib.Path), help="JSON file for all scores.")
@click.option("--save", type=click.Path(path_type=pathlib.Path), help="Folder for the restored pictures.")
@_shared.task_options
@_shared.method_options
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(folder, out, save, wanted, by, force) -> None:
    """Degrade and restore the clean pictures of FOLDER; print PSNR, SSIM and LPIPS beside those of a simple answer."""
    paths = images.find(folder)
    targets = [] if save is None else _shared.outputs(paths, folder, save, ".png")
    _shared.refuse_existing([*targets, *([out] if out else [])], force)
    values = wanted.values()
    loaded = load_prior(by.prior)

    truths = [_shared.crop_to_factor(images.load(path), wanted.task_name, values) for path in paths]
    rows, used = {}, {}
    for shape, members in _shared.by_shape(truths).items():
        chosen = wanted.build(shape, values)
        used = by.settings_for(chosen)
        sampler = build_sampler(by.method, used)
        result = evaluation.evaluate(
            sampler,
            loaded,
            chosen.degradation,
            np.stack([truths[i] for i in members]),
            key=wanted.key,
            batch_size=by.batch_size,
            num_samples=by.samples,
            mesh=parallel.local_mesh(),
            progress=not by.quiet,
        )
        for j, i in enumerate(members):
            simple = evaluation.simple_answer(chosen.degradation, result.measurements[j])
            rows[i] = {
                "picture": paths[i].name,
                "shape": list(shape),
                "restored": result.scores[j]._asdict(),
                "simple": None if simple is None else evaluation.score(simple, truths[i])._asdict(),
                "seconds": result.seconds / len(members),
            }
            if targets:
                images.save(targets[i], result.restored[j], overwrite=force)
    ordered = [rows[i] for i in range(len(paths))]
    means = {
        kind: evaluation.mean_scores([evaluation.Scores(**r[kind]) for r in ordered])._asdict()
        for kind in ("restored", "simple")
        if ordered[0][kind] is not None
    }
    _print(f"{wanted.task_name}, {by.method}", ordered, means)
    if out is not None:
        report = {
            "task": wanted.task_name,
            "options": {k: v for k, v in values.items() if not hasattr(v, "shape")},
            "noise_std": wanted.noise,
            "method": by.method,
            "settings": used,
            "prior": by.prior,
            "samples": by.samples,
            "seed": wanted.seed,
            "environment": evaluation.environment(),
            "pictures": ordered,
            "mean": means,
        }
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n")
        click.echo(str(out))


def _print(title, rows, means) -> None:
    columns = ["picture"] + [f"{metric} {kind}" for metric in ("PSNR", "SSIM", "LPIPS") for kind in means] + ["seconds"]
    table = [[r["picture"], *_cells(r, means), f"{r['seconds']:.1f}"] for r in rows]
    table.append(["mean", *_cells(means, means), f"{np.mean([r['seconds'] for r in rows]):.1f}"])
    _shared.print_table(title, columns, table)


def _cells(row, means) -> list[float]:
    return [row[kind][metric] for metric in ("psnr", "ssim", "lpips") for kind in means]
