"""What several commands share: options, measurements on disk, tables."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks, images, tuning
from jaxrestore.priors.checkpoint import bundled_priors
from jaxrestore.tasks import METHODS, SETTINGS, TASKS, Task, for_size, task


@dataclasses.dataclass(frozen=True)
class TaskChoice:
    """What the options of `task_options` say."""

    task_name: str
    noise: float | None
    options: tuple[str, ...]
    mask: pathlib.Path | None
    kernel: pathlib.Path | None
    seed: int

    @property
    def key(self) -> jax.Array:
        """All randomness."""
        return jax.random.key(self.seed)

    def values(self) -> dict[str, Any]:
        """Task options, masks and kernels read from their files."""
        values = parse_values(self.options)
        if self.mask is not None:
            values["mask"] = jnp.asarray(images.load(self.mask).mean(-1, keepdims=True) > 0, jnp.float32)
        if self.kernel is not None:
            weights = (images.load(self.kernel).mean(-1) + 1) / 2
            if weights.sum() == 0:
                raise click.UsageError(f"{self.kernel} is all black, expected a kernel")
            values["kernel"] = jnp.asarray(weights / weights.sum(), jnp.float32)
        return values

    def build(self, image_shape: Sequence[int], values: dict[str, Any]) -> Task:
        """The task for one image shape; the random mask or kernel depends on the seed alone."""
        height, width, channels = image_shape
        key = jax.random.fold_in(self.key, 1)
        return task(self.task_name, image_shape=(height, width, channels), noise_std=self.noise, key=key, **values)


@dataclasses.dataclass(frozen=True)
class MethodChoice:
    """What the options of `method_options` say."""

    method: str
    prior: str
    settings: str | None
    overrides: tuple[str, ...]
    samples: int
    batch_size: int
    quiet: bool

    def settings_for(self, chosen: Task) -> dict[str, Any]:
        """Keyword arguments of `build_sampler`: a recommended set or a tuned file, with some values replaced."""
        overrides = parse_values(self.overrides)
        name = self.settings or recommended_set(self.prior)
        if name in SETTINGS:
            return {**chosen.for_method(self.method, name), **overrides}
        if not name.endswith(".json"):
            raise click.UsageError(f"--settings is {name!r}, expected {', '.join(SETTINGS)} or a .json file")
        tuned = tuning.load_settings(name, chosen.name, self.method)
        return {**for_size(self.method, tuned, chosen.degradation.image_shape), **overrides}


def recommended_set(prior: str) -> str:
    """The set of settings that goes with a prior."""
    return "photo" if prior in bundled_priors() else "published"


def _gather(command: Callable[..., Any], name: str, kind: type[Any]) -> Callable[..., Any]:
    """The command with those of its keyword arguments that are fields of `kind` gathered into one argument."""

    @functools.wraps(command)
    def gathered(**kwargs: Any) -> Any:
        choice = kind(**{field.name: kwargs.pop(field.name) for field in dataclasses.fields(kind)})
        return command(**kwargs, **{name: choice})

    return gathered


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--task, --noise, --option, --mask, --kernel and --seed, as one argument `wanted: TaskChoice`."""
    command = _gather(command, "wanted", TaskChoice)
    for decorate in reversed(
        (
            click.option(
                "--task",
                "task_name",
                required=True,
                type=click.Choice(list(TASKS)),
                help="What was done to the picture.",
            ),
            click.option(
                "--noise",
                type=click.FloatRange(0),
                help="Noise (standard deviation, pixels in [-1, 1]).  [default: the task's]",
            ),
            click.option(
                "--option",
                "options",
                multiple=True,
                metavar="NAME=VALUE",
                help="Setting of the task, e.g. factor=4, std=3, rate=0.8; `jaxrestore info` lists them.",
            ),
            click.option(
                "--mask",
                type=click.Path(path_type=pathlib.Path),
                help="Inpainting: picture, white where pixels are known.",
            ),
            click.option(
                "--kernel",
                type=click.Path(path_type=pathlib.Path),
                help="Motion deblurring: picture of the kernel, odd sides.",
            ),
            click.option("--seed", default=0, help="Of all randomness."),
        )
    ):
        command = decorate(command)
    return command


def method_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--method, --prior, --settings, --set, --samples, --batch-size and --quiet, as one argument `by: MethodChoice`."""
    command = _gather(command, "by", MethodChoice)
    for decorate in reversed(
        (
            click.option("--method", default="spgd", type=click.Choice(list(METHODS)), help="Sampler."),
            click.option("--prior", default="photo", help="Bundled prior, or the folder of one."),
            click.option(
                "--settings",
                default=None,
                metavar="SET",
                help="published, photo, or a file of `jaxrestore tune`.  [default: photo for the bundled prior, "
                "else published]",
            ),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="NAME=VALUE",
                help="Setting of the sampler, e.g. num_steps=30, learning_rate=2.",
            ),
            click.option(
                "--samples",
                default=1,
                type=click.IntRange(1),
                help="Posterior samples; the one with the smallest residual counts.",
            ),
            click.option(
                "--batch-size", default=4, type=click.IntRange(1), help="Pictures of one size restored together."
            ),
            click.option("--quiet", is_flag=True, help="No progress bar."),
        )
    ):
        command = decorate(command)
    return command


def parse_values(pairs: Iterable[str]) -> dict[str, Any]:
    """["factor=4", "kernel=average"] as {"factor": 4, "kernel": "average"}."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is no NAME=VALUE, e.g. factor=4")
        for kind in (int, float):
            try:
                values[name] = kind(text)
                break
            except ValueError:
                values[name] = {"true": True, "false": False}.get(text.lower(), text)
    return values


def crop_to_factor(image: np.ndarray, name: str, values: dict[str, Any]) -> np.ndarray:
    """Cut the lower and right border where super-resolution's factor does not divide the sides."""
    if name != "super_resolution":
        return image
    factor = _factor(values)
    height, width = (n - n % factor for n in image.shape[:2])
    if not height or not width:
        raise ValueError(f"a picture of {image.shape[0]}x{image.shape[1]} is smaller than the factor {factor}")
    return image[:height, :width]


def centre(picture: np.ndarray, size: int, path: pathlib.Path) -> np.ndarray:
    """The central square of `size` pixels.

    Raises:
      ValueError: If the picture is smaller.
    """
    if min(picture.shape[:2]) < size:
        raise ValueError(
            f"{path} has {picture.shape[0]}x{picture.shape[1]} pixels, expected at least {size} each way; lower --size"
        )
    top, left = ((n - size) // 2 for n in picture.shape[:2])
    return picture[top : top + size, left : left + size]


def _factor(values: dict[str, Any]) -> int:
    factor = values.get("factor", TASKS["super_resolution"].options["factor"])
    _checks.at_least("factor", factor, 1)
    return factor


def restored_shape(y: np.ndarray, name: str, values: dict[str, Any]) -> tuple[int, int, int]:
    """Shape of the image that a measurement belongs to.

    Raises:
      ValueError: If no image has such measurements.
    """
    height, width = y.shape[:2]
    if name == "super_resolution":
        factor = _factor(values)
        return (factor * height, factor * width, 3)
    if name == "phase_retrieval":
        for side in range(min(height, width), 0, -1):  # padding is rounded, so the inverse is searched
            if side + 2 * int(values.get("oversample", 2.0) / 8.0 * side) == height and height == width:
                return (side, side, 3)
        raise ValueError(f"amplitudes of {height}x{width} fit no square image with this oversampling")
    return (height, width, 3)


def is_picture(name: str) -> bool:
    """Whether the task's measurements can be kept as a picture; amplitudes exceed its range."""
    return name != "phase_retrieval"


def read_measurement(path: pathlib.Path, name: str) -> np.ndarray:
    """A measurement from a picture, or from an array (`.npy`) as `jaxrestore degrade` writes it."""
    if path.suffix.lower() == ".npy":
        try:
            y = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as an array ({error})") from error
        if y.ndim != 3:
            raise ValueError(f"{path} has shape {y.shape}, expected (height, width, channels)")
        return y.astype(np.float32)
    if not is_picture(name):
        raise ValueError(f"{path} is no .npy file; {name} needs the array that `jaxrestore degrade` writes")
    y = images.load(path)
    return y.mean(-1, keepdims=True) if name == "colorization" else y


def inputs(path: pathlib.Path, suffixes: Sequence[str] = images.SUFFIXES) -> list[pathlib.Path]:
    """One file, or those of a folder."""
    if path.is_dir():
        return images.find(path, suffixes=suffixes)
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    return [path]


def outputs(
    paths: Sequence[pathlib.Path], source: pathlib.Path, out: pathlib.Path, suffix: str | None = None
) -> list[pathlib.Path]:
    """Where the results go: into the folder `out` under the inputs' names, or to the file `out`.

    Raises:
      ValueError: If two results would get one name.
    """
    if not source.is_dir() and out.suffix:
        return [out]
    targets = [out / (p.stem + (suffix or (".png" if p.suffix.lower() == ".npy" else p.suffix.lower()))) for p in paths]
    if len(set(targets)) < len(targets):
        raise ValueError(f"several inputs of {source} differ in their suffix only; rename them")
    return targets


def by_shape(arrays: Sequence[np.ndarray]) -> dict[tuple[int, ...], list[int]]:
    """Indices of the arrays of each shape: those are restored together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, array in enumerate(arrays):
        groups.setdefault(array.shape, []).append(i)
    return groups


def refuse_existing(paths: Sequence[pathlib.Path], force: bool) -> None:
    """Raise before any computing if an output exists."""
    existing = [p for p in paths if p.exists()]
    if existing and not force:
        raise FileExistsError(f"{existing[0]} exists; choose another name or add --force")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row))
    Console().print(table)
