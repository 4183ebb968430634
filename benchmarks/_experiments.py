"""One published experiment over a folder of pictures: degraded, restored, scored and kept, picture by picture.

For each picture there is a record, written once its restored picture is: whoever finds one that was made of the same
things need not restore the picture again, be it the same command after a stop or another process.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from jaxrestore import images, methods, metrics, parallel
from jaxrestore.degradation import Degradation
from jaxrestore.priors import Prior
from jaxrestore.published import Setup
from jaxrestore.restore import Sample, best_samples, each_sample
from jaxrestore.storage.files import replacing
from jaxrestore.streaming import Batch, restore_batches

SIDE = 256  # pixels, of all published experiments
_IN_PIXELS = ("box", "margin")  # options that shrink with the picture
_ROUND = 16  # batches whose pictures are in memory together


def json_safe(value: Any) -> Any:
    """Settings and options as JSON holds them: of an array its checksum, of a function its name."""
    if isinstance(value, Mapping):
        return {name: json_safe(v) for name, v in value.items()}
    if isinstance(value, tuple | list):
        return [json_safe(v) for v in value]
    if isinstance(value, np.ndarray | jax.Array):
        return hashlib.sha256(np.asarray(value, np.float32).tobytes()).hexdigest()[:16]
    if isinstance(value, pathlib.Path):
        return str(value)
    return value.__name__ if callable(value) else value


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A setup, and what the user brings to it."""

    setup: Setup
    side: int = SIDE  # pixels; the real size but in trials
    seed: int = 0
    mask: pathlib.Path | None = None  # a picture of the mask, or a folder with one for each picture
    weights: pathlib.Path | None = None  # of the nonlinear blur
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of the settings; then it is not the paper's
    lpips: pathlib.Path | None = None  # weights of the setup's LPIPS, where the bundled ones are not those
    metrics: tuple[str, ...] = ("psnr",)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the method."""
        return {**self.setup.plain("settings"), **self.changes}

    @property
    def runs(self) -> int:
        """Posterior samples of a picture: kept is the one of the least residual, and of each score the best counts."""
        return self.setup.runs.value if self.setup.runs else 1

    @property
    def apart(self) -> bool:
        """Whether each picture has a mask or kernel of its own."""
        return bool(self.setup.each and self.setup.each.value) or bool(self.mask and self.mask.is_dir())

    def evaluations(self) -> methods.Evaluations:
        """Network evaluations for one picture."""
        return methods.get(self.setup.method).evaluations(self.settings).times(self.runs)

    def facts(self) -> dict[str, Any]:
        """What its pictures are made of, beside prior and truths."""
        stated = {field: self.setup.plain(field) for field in ("options", "drawn")}
        ours = {"noise_std": self.setup.noise_std.value, "runs": self.runs, "side": self.side, "seed": self.seed}
        given = {"mask": self.mask, "weights": self.weights, "metrics": self.metrics}
        return json_safe({"settings": self.settings, **stated, **ours, **given})

    def task(self, index: int, path: pathlib.Path) -> jr.Task:
        """The task for one picture, the index-th of its folder."""
        key = jax.random.fold_in(jax.random.key(self.seed), 0)
        key_operator, key_options = jax.random.split(jax.random.fold_in(key, 1 + index) if self.apart else key)
        options = {
            name: max(1, value * self.side // SIDE) if name in _IN_PIXELS else value
            for name, value in self.setup.plain("options").items()
        }
        for number, (name, (low, high)) in enumerate(self.setup.plain("drawn").items()):
            options[name] = float(jax.random.uniform(jax.random.fold_in(key_options, number), minval=low, maxval=high))
        if "mask" in self.setup.given and self.mask is not None:
            mask = self.mask / path.name if self.mask.is_dir() else self.mask
            options["mask"] = jnp.asarray(images.load_mask(mask, (self.side, self.side)))
        if "weights" in self.setup.given:
            options["weights"] = self.weights
        shape = (self.side, self.side, 3)
        return jr.task(
            self.setup.task, image_shape=shape, noise_std=self.setup.noise_std.value, key=key_operator, **options
        )

    def sampler(self, task: jr.Task) -> jr.Sampler:
        """The method as published; a method that cannot treat the task is refused."""
        method = methods.get(self.setup.method)
        if reason := method.refusal(task.degradation.operator):
            raise ValueError(f"{self.setup.method} cannot do {self.setup.label}: it {reason}")
        return method.build(**self.settings)


def load_square(path: pathlib.Path, side: int) -> np.ndarray:
    """The centre of a picture whose shorter side is brought to `side`, as the papers' codes load theirs."""
    picture = images.load(path)
    shorter = min(picture.shape[:2])
    if shorter != side:
        height, width = (round(n * side / shorter) for n in picture.shape[:2])
        picture = images.resize(picture, (height, width))
    return images.centre(picture, side)


@dataclasses.dataclass(frozen=True)
class Series:
    """An experiment over the pictures of a folder, with what was made so far."""

    experiment: Experiment
    paths: Sequence[pathlib.Path]  # all pictures, the same in all processes
    network: Mapping[str, Any]  # what tells the prior from others
    folder: pathlib.Path  # for `restored/`, `measured/` and `records/`

    def facts_of(self, path: pathlib.Path) -> dict[str, Any]:
        """What the restored picture of one file is made of."""
        picture = hashlib.sha256(path.read_bytes()).hexdigest()
        return {**self.experiment.facts(), **self.network, "picture": picture}

    def record(self, path: pathlib.Path) -> dict[str, Any] | None:
        """The record of a picture: facts, scores (None if it diverged) and seconds; None where there is none."""
        file = self._record_file(path)
        if not file.exists():
            return None
        content = json.loads(file.read_text())
        return content if content["facts"] == json.loads(json.dumps(self.facts_of(path))) else None

    def restore(self, prior: Prior, *, batch_size: int, again: bool = False, progress: bool = False) -> None:
        """Restore this process's share of the pictures.

        Args:
          prior: The network.
          batch_size: Samples on the devices at a time.
          again: Restore pictures with a record too.
          progress: Show a bar.
        """
        mine = parallel.share(range(len(self.paths)))
        due = [i for i in mine if again or self.record(self.paths[i]) is None]
        for start in range(0, len(due), _ROUND * batch_size):
            self._restore_round(prior, due[start : start + _ROUND * batch_size], batch_size, progress)

    def _restore_round(self, prior: Prior, indices: Sequence[int], batch_size: int, progress: bool) -> None:
        experiment, apart = self.experiment, self.experiment.apart
        truths = np.stack([load_square(self.paths[i], experiment.side) for i in indices])
        tasks = [experiment.task(i, self.paths[i]) for i in (indices if apart else indices[:1])]
        degradations = [task.degradation for task in tasks]
        degradation = jax.tree.map(lambda *a: jnp.stack(a), *degradations) if apart else degradations[0]
        key_noise, key_sampler = jax.random.split(jax.random.fold_in(jax.random.key(experiment.seed), 1))
        keys = jax.vmap(lambda i: jax.random.fold_in(key_noise, i))(jnp.asarray(indices))
        ys = np.asarray(_measure(apart, degradation, keys, jnp.asarray(truths)))
        batches = restore_batches(
            experiment.sampler(tasks[0]),
            prior,
            degradation,
            ys,
            key=key_sampler,
            batch_size=batch_size,
            num_samples=experiment.runs,
            batched_degradation=apart,
            indices=indices,
            mesh=parallel.local_mesh(),
            progress=progress and jax.process_index() == 0,
        )
        pace: list[float] = []  # seconds for a sample of each batch
        scores: dict[int, list[dict[str, float]]] = {}  # of the runs of each picture that did not diverge

        def scored(samples: Iterable[Sample]) -> Iterator[Sample]:
            for sample in samples:
                if sample.diverged < 0:
                    found = score(sample.x, truths[sample.image], experiment.metrics, experiment.lpips)
                    scores.setdefault(sample.image, []).append(found)
                yield sample

        for best in best_samples(scored(each_sample(_timed(batches, pace)))):
            seconds, found = pace[-1] * experiment.runs, best_scores(scores[best.image])
            self._keep(self.paths[indices[best.image]], ys[best.image], best.x, found, seconds)
        for i in set(range(len(indices))) - set(scores):  # in every sample
            self._keep(self.paths[indices[i]], ys[i], None, None, None)

    def _keep(
        self,
        path: pathlib.Path,
        y: np.ndarray,
        restored: np.ndarray | None,
        scores: Mapping[str, float] | None,
        seconds: float | None,
    ) -> None:
        """Write what came of one picture: pictures first, the record last."""
        if jr.TASKS[self.experiment.setup.task].stored != "array":
            images.save(self._picture("measured", path), np.clip(y, -1.0, 1.0), overwrite=True)
        if restored is not None:
            images.save(self._picture("restored", path), restored, overwrite=True)
        content = {"facts": self.facts_of(path), "scores": scores, "seconds": seconds}
        with replacing(self._record_file(path)) as temporary:
            temporary.write_text(json.dumps(content))

    def sheet(self, *, rows: int = 8) -> pathlib.Path:
        """A picture of the first pictures: measured, restored and true side by side, one row each; black if missing."""
        side = self.experiment.side
        black = np.zeros((side, side, 3), np.float32)

        def cell(kind: str, path: pathlib.Path) -> np.ndarray:
            file = self._picture(kind, path)
            picture = images.load(file) if file.exists() else black
            return picture if picture.shape == black.shape else images.resize(picture, (side, side))

        lines = [
            np.concatenate([cell("measured", path), cell("restored", path), load_square(path, side)], axis=1)
            for path in self.paths[:rows]
        ]
        return images.save(self.folder / "sheet.png", np.concatenate(lines), overwrite=True)

    def _picture(self, kind: str, path: pathlib.Path) -> pathlib.Path:
        return self.folder / kind / f"{path.stem}.png"

    def _record_file(self, path: pathlib.Path) -> pathlib.Path:
        return self.folder / "records" / f"{path.stem}.json"


def _timed(batches: Iterable[Batch], pace: list[float]) -> Iterator[Batch]:
    """The batches; how long a sample of each took, what is done with them not counted, is noted in `pace`."""
    started = time.perf_counter()
    for batch in batches:
        pace.append((time.perf_counter() - started) / len(batch.image))
        yield batch
        started = time.perf_counter()


@functools.partial(jax.jit, static_argnums=0)
def _measure(apart: bool, degradation: Degradation, keys: jax.Array, truths: jax.Array) -> jax.Array:
    axis = 0 if apart else None
    return jax.vmap(lambda d, key, x: d.measure(key, x), in_axes=(axis, 0, 0))(degradation, keys, truths)


def score(
    restored: np.ndarray, truth: np.ndarray, names: Sequence[str], weights: pathlib.Path | None
) -> dict[str, float]:
    """The asked scores of a picture, both rounded to 8 bits as they are stored."""
    a, b = (jnp.asarray(images.from_uint8(images.to_uint8(image))) for image in (restored, truth))
    found = {}
    for name in names:
        kind, _, variant = name.partition("-")
        if kind == "lpips":
            found[name] = float(_lpips(a, b, _lpips_weights(variant, weights), variant))
        else:
            found[name] = float({"psnr": _psnr, "ssim": _ssim}[kind](a, b))
    return found


def best_scores(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each score the best of a picture's runs, as DAPS's evaluation has it: the truth chooses, for each anew."""
    return {name: (min if name.startswith("lpips") else max)(run[name] for run in runs) for name in runs[0]}


def check_scores(names: Sequence[str], weights: pathlib.Path | None, side: int) -> None:
    """Raise `ValueError` unless pictures of a side can be given the asked scores, with the weights that there are."""
    picture = jax.ShapeDtypeStruct((side, side, 3), jnp.float32)
    for variant in (name.partition("-")[2] for name in names if name.startswith("lpips")):
        params = _lpips_weights(variant, weights)
        jax.eval_shape(functools.partial(metrics.lpips, variant=variant), picture, picture, params)


def _lpips_weights(variant: str, weights: pathlib.Path | None) -> metrics.LPIPSParams:
    """The bundled weights where they are those of the variant."""
    return metrics.load_lpips() if variant == "alex" else metrics.load_lpips(weights)


_psnr, _ssim = jax.jit(metrics.psnr), jax.jit(metrics.ssim)


@functools.partial(jax.jit, static_argnums=3)
def _lpips(a: jax.Array, b: jax.Array, params: metrics.LPIPSParams, variant: str) -> jax.Array:
    return metrics.lpips(a, b, params, variant=variant)
