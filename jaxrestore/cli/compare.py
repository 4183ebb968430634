"""`jaxrestore compare`."""

import pathlib

import click
import jax

from jaxrestore import evaluation, parallel
from jaxrestore.cli import _comparison, _files, _prior, _targets
from jaxrestore.cli._method_choice import MethodChoices, methods_options
from jaxrestore.cli._metric_choice import MetricChoice, metric_options
from jaxrestore.cli._options import PATH, force_option
from jaxrestore.cli._reports import print_table, score_titles
from jaxrestore.cli._seeds import key_for
from jaxrestore.cli._task_choice import TaskChoice, task_options


@click.command("compare")
@click.argument("picture", type=PATH)
@click.option("-o", "--out", default="comparison.html", type=PATH, help="File for the page.")
@click.option(
    "--size",
    type=click.IntRange(16),
    help="Use the picture's centre of this many pixels a side.  [default: the whole picture]",
)
@task_options
@methods_options
@metric_options
@force_option
def command(
    picture: pathlib.Path,
    out: pathlib.Path,
    size: int | None,
    task_choice: TaskChoice,
    method_choices: MethodChoices,
    metric_choice: MetricChoice,
    force: bool,
) -> None:
    """Degrade the clean PICTURE, restore it by several methods, and write a page that compares them.

    The page is one file that needs no network: a slider between any two pictures, a zoom that moves all of them
    together, PSNR, SSIM and LPIPS, and the settings. All methods are given the same measurement. Methods that diverge
    have no picture and are named at the end.

    \b
    jaxrestore compare photo.jpg --task gaussian_deblur --methods spgd,dpps,diffpir -o page.html
    """  # noqa: D301
    _comparison.check_suffix(out)
    _targets.check([out], force)
    choices = method_choices.each()
    options = task_choice.read_options()
    lpips = metric_choice.load()
    prior, channels = method_choices.load_prior()
    clean = _files.read_clean(picture, task_choice.definition.multiple(options), size)
    truth = _prior.known_clean(clean.on_white(), channels, picture)
    task = task_choice.build(truth.shape, options)
    # All samplers are made, and so all options checked, before the first one runs.
    settings = [choice.settings_for(task) for choice in choices]
    samplers = [choice.method.build(**values) for choice, values in zip(choices, settings, strict=True)]

    # The key of a folder's first picture: `evaluate` gives the same numbers, and every method the same measurement.
    key = jax.random.fold_in(key_for("evaluation", task_choice.seed), 0)
    results: list[evaluation.Evaluation] = []
    for choice, sampler in zip(choices, samplers, strict=True):
        click.echo(choice.method_name, err=True)
        result = evaluation.evaluate(
            sampler,
            prior,
            task.degradation,
            truth[None],
            key=key,
            lpips=lpips,
            batch_size=choice.batch_size,
            num_samples=choice.samples,
            mesh=parallel.local_mesh(),
            progress=not choice.quiet,
        )
        results.append(result)
    restorations = []
    for choice, values, result in zip(choices, settings, results, strict=True):
        made_by = choice.settings_for_report(values)
        evaluations = made_by["evaluations_per_picture"]
        cost = {"forward passes": evaluations["forward"], "gradients": evaluations["gradients"]}
        cost["seconds"] = f"{result.seconds:.1f}"
        x, scores = result.restored[0], result.scores[0]
        restorations.append(_comparison.restoration(choice.method_name, x, scores, cost, made_by["settings"], lpips))
    scene = _comparison.scene(picture.name, task, truth, results[0].measurements[0], restorations, lpips)
    facts = {**task_choice.for_report(options), **method_choices.for_report()}
    _comparison.write_page(out, f"{picture.name}: {task_choice.task_name}", facts, [scene])
    columns = (*score_titles(lpips).values(), "seconds")
    rows = [(s.label, *(s.numbers.get(name, "") for name in columns)) for s in scene.pictures]
    print_table(f"{picture.name}, {task_choice.task_name}", ("shown", *columns), rows)
    click.echo(str(out))
    failed = [f"{c.method_name} ({c.advice})" for c, r in zip(choices, results, strict=True) if r.divergences]
    if failed:
        raise FloatingPointError(f"samples diverged: {'; '.join(failed)}")
