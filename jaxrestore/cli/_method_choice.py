"""How to restore: the options of a method and its prior."""

import dataclasses
import itertools
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from jaxrestore import methods, tuning
from jaxrestore.cli import _prior
from jaxrestore.cli._options import decorated, gathered_into, label_option, prior_option, quiet_option
from jaxrestore.cli._task_choice import TaskChoice
from jaxrestore.cli._values import annotations, parse_values
from jaxrestore.credible import Calibration
from jaxrestore.methods import METHODS, Evaluations, Method
from jaxrestore.priors import Prior, SelfEnsemble, bundled_priors
from jaxrestore.settings import SETTINGS
from jaxrestore.tasks import TASKS, Task, TaskDefinition


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Choice:
    """What goes with any method."""

    prior: str
    label: int | None  # class of the pictures, for a prior that knows classes
    self_ensemble: int  # copies of the picture that the prior is asked for
    settings: str | None
    overrides: tuple[str, ...]
    samples: int
    batch_size: int | None
    quiet: bool

    def load_prior(self, **options: Any) -> tuple[Prior, int]:
        """The prior, asked for mirror images too if so wished, and the channels of the pictures that it knows.

        Keyword arguments are those of the library's `load_prior`.
        """
        loaded = _prior.load(self.prior, self.label, **options)
        prior = SelfEnsemble(loaded, self.self_ensemble) if self.self_ensemble != 1 else loaded
        return prior, loaded.config.in_channels

    def for_report(self) -> dict[str, Any]:
        """Prior and number of samples for result files."""
        return {"prior": self.prior, "label": self.label, "self_ensemble": self.self_ensemble, "samples": self.samples}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodChoice(_Choice):
    """What the options of `method_options` say."""

    method_name: str

    @property
    def method(self) -> Method:
        """The method's row."""
        return METHODS[self.method_name]

    def settings_for(self, task: Task, *, searched: Iterable[str] = ()) -> dict[str, Any]:
        """Settings of the method for a task: those of a set or a tuned file, with some values replaced.

        `searched` names settings that are tried one after the other, and need not come from the set.

        Raises:
          click.UsageError: If there is no such set, or a value cannot be read.
          ValueError: If the method cannot do the task, or the file holds settings for something else.
          TypeError: If the method has no such setting.

        Warns:
          UserWarning: If replaced values change nothing.
        """
        known = {**annotations(self.method.factory), **dict.fromkeys(methods.SHARED_SETTINGS, int)}
        overrides = parse_values(self.overrides, known)
        name = self.settings or default_set(self.prior)
        if _is_file(name):
            tuned = tuning.load_settings(name, task.name, self.method_name)
            settings = task.adapted(self.method_name, tuned)
        elif name.partition("/")[0] in SETTINGS:
            settings = task.for_method(self.method_name, name, given={*overrides, *searched})
        else:
            raise click.UsageError(f"--settings is {name!r}, expected {', '.join(SETTINGS)} or a .json file")
        settings = {**settings, **overrides}
        self.method.check_settings(settings)
        if idle := [name for name in self.method.idle(settings, task.degradation.operator) if name in overrides]:
            named = " and ".join(f"--set {name}" for name in idle)
            warnings.warn(f"{named} changes nothing of {self.method_name} for {task.name}, as it is set", stacklevel=2)
        return settings

    def warn_of_idle_grid(self, grid: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any], task: Task) -> None:
        """Say which settings of a grid change nothing, whatever the others of the grid are."""
        operator = task.degradation.operator
        rows = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
        idle = [set(self.method.idle({**fixed, **row}, operator)) for row in rows]
        if named := " and ".join(f"--grid {name}" for name in grid if all(name in names for names in idle)):
            warnings.warn(f"{named} changes nothing of {self.method_name} for {task.name}, as it is set", stacklevel=2)

    def warn_of_idle_noise(self) -> None:
        """Say that how noisy a measurement is makes no difference to its restoration, if so."""
        reason = None
        if not self.method.uses_noise:
            told = ", ".join(name for name, row in METHODS.items() if row.uses_noise)
            reason = f"{self.method_name} is not told how noisy a measurement is; these are: {told}"
        elif any(pair.partition("=")[0] == "noise_std" for pair in self.overrides):
            reason = "--set noise_std is what counts"
        if reason is not None:
            warnings.warn(f"--noise changes nothing: {reason}", stacklevel=2)

    def conditions(self, task_choice: TaskChoice, options: Mapping[str, Any]) -> dict[str, Any]:
        """What a calibration depends on beside task, method and settings, as JSON has it."""
        stated = {**task_choice.for_report(options), **self.for_report()}
        names = ("options", "noise_std", "prior", "label", "self_ensemble", "samples")
        return json.loads(json.dumps({name: stated[name] for name in names}, default=str))

    def load_calibration(self, task_choice: TaskChoice, options: Mapping[str, Any]) -> Calibration | None:
        """The calibration of the settings file, if there is one.

        Raises:
          click.UsageError: If it is for other settings.
          ValueError: If it is for something else.
        """
        if self.settings is None or not _is_file(self.settings):
            return None
        conditions = self.conditions(task_choice, options)
        calibration = tuning.load_calibration(self.settings, task_choice.task_name, self.method_name, conditions)
        if calibration is not None and self.overrides:
            raise click.UsageError(f"--set changes what {self.settings} was calibrated with; calibrate again with it")
        return calibration

    def for_report(self) -> dict[str, Any]:
        """Method, prior and number of samples for result files."""
        return {"method": self.method_name, **super().for_report()}

    def settings_for_report(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All settings, given or not, and the network evaluations that they cost for one picture.

        Those of all its posterior samples are meant, and of all the mirror images that the prior is asked for.
        """
        return {
            "settings": self.method.complete(settings),
            "evaluations_per_picture": self.cost(settings)._asdict(),
        }

    def cost(self, settings: Mapping[str, Any]) -> Evaluations:
        """Network evaluations for one picture: of all its samples, and of all mirror images."""
        return self.method.evaluations(settings).times(self.samples * self.self_ensemble)

    @property
    def advice(self) -> str:
        """What helps when a run diverges."""
        remedy = self.method.remedy
        if remedy is None:
            return "check --noise, and that the task is the one that made the picture"
        return f"{remedy}, e.g. --set {remedy.split()[-1]}=..."


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodChoices(_Choice):
    """What the options of `methods_options` say."""

    method_names: tuple[str, ...]

    def each(self) -> list[MethodChoice]:
        """The choice of each method, with the settings that are changed for all and for it alone.

        Raises:
          click.UsageError: If a setting is changed of a method that is not among them.
        """
        common = {field.name: getattr(self, field.name) for field in dataclasses.fields(_Choice)}
        overrides: dict[str, list[str]] = {name: [] for name in self.method_names}
        for pair in self.overrides:
            setting, equals, value = pair.partition("=")
            method, dot, setting = setting.rpartition(".")
            if dot and method not in overrides:
                raise click.UsageError(f"--set {pair}: {method} is none of {', '.join(overrides)}")
            for name in [method] if dot else overrides:
                overrides[name].append(f"{setting}{equals}{value}")
        return [
            MethodChoice(**{**common, "method_name": name, "overrides": tuple(changed)})
            for name, changed in overrides.items()
        ]


def _is_file(settings: str) -> bool:
    """Whether --settings names a file, in whatever folder, rather than a set."""
    return settings.endswith(".json")


def default_set(prior: str) -> str:
    """The set of settings that goes with a prior: what was tuned for it, or what suits any network."""
    return "photo" if prior in bundled_priors() else "recommended"


def _method_of_task(context: click.Context, option: click.Parameter, method_name: str | None) -> str:
    """The method that was asked for, or the one that goes with the task, which is known by now."""
    task_name = context.params.get("task_name")
    return method_name or (TASKS[task_name].method if task_name else TaskDefinition.method)


def method_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--method, --prior, --label and what goes with them, as one argument `method_choice: MethodChoice`."""
    options = (
        click.option(
            "--method",
            "method_name",
            type=click.Choice(list(METHODS)),
            callback=_method_of_task,
            help="Restoration method; `jaxrestore info` lists their settings.  [default: the task's, pspgd for most]",
        ),
        *_common_options(),
    )
    return decorated(options, gathered_into(command, "method_choice", MethodChoice))


def _common_options():
    return (
        prior_option,
        label_option,
        click.option(
            "--self-ensemble",
            type=click.Choice(["2", "4"]),
            callback=lambda context, option, copies: 1 if copies is None else int(copies),
            help="Ask the prior for the picture and its mirror images, 2 or 4 in all, and take the mean: better, at so "
            "many times the cost.  [default: the picture alone]",
        ),
        click.option(
            "--settings",
            default=None,
            metavar="SET",
            help="Where the method's settings come from: photo, tuned for the bundled prior; recommended, for any "
            "network; published (or published/ffhq, ...), the paper's; or a file of `jaxrestore tune` or "
            "`calibrate`.  [default: "
            "photo for the bundled prior, else recommended]",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="NAME=VALUE",
            help="Change a setting of the method, e.g. num_steps=30 or learning_rate=2. May be given several times.",
        ),
        click.option(
            "--samples",
            default=1,
            type=click.IntRange(1),
            help="Restore each picture so many times at random; the result that fits the measurement best counts.",
        ),
        click.option(
            "--batch-size",
            type=click.IntRange(1),
            help="Restore so many pictures of one size together; memory grows with it.  [default: 4, 16 on GPUs and "
            "TPUs, or what fits into memory]",
        ),
        quiet_option,
    )


def methods_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--methods, --prior and what goes with them, as one argument `method_choices: MethodChoices`."""
    names = click.option(
        "--methods",
        "method_names",
        default="spgd,dpps,dps",
        metavar="NAME,...",
        callback=lambda context, option, names: _method_names(names),
        help="Methods to compare; `jaxrestore info` lists them and their settings. --set METHOD.NAME=VALUE changes a "
        "setting of one of them.",
    )
    return decorated((names, *_common_options()), gathered_into(command, "method_choices", MethodChoices))


def _method_names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in METHODS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(METHODS)}")
    return names
