"""A page that compares pictures with one's eyes: one file, which asks for nothing from elsewhere."""

import base64
import html
import json
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxrestore import evaluation
from jaxrestore.cli import _targets
from jaxrestore.cli._reports import cell, listed, score_titles
from jaxrestore.evaluation import Perceptual, Scores
from jaxrestore.images import Picture
from jaxrestore.pictures.writing import encode
from jaxrestore.storage.files import write_whole
from jaxrestore.tasks import Task

_PARTS = pathlib.Path(__file__).parent / "comparison"


class Shown(NamedTuple):
    """A picture of a scene."""

    label: str
    pixels: np.ndarray | None  # (H, W, 3) or (H, W, 1) in [-1, 1]; None where a run diverged
    numbers: Mapping[str, float | str] = {}  # by name; NaN where a run diverged
    settings: Mapping[str, Any] = {}  # what made it


class Scene(NamedTuple):
    """Pictures of one thing, of any sizes: all are shown at one."""

    name: str
    shape: Sequence[int]  # (H, W, ...), their common proportions
    pictures: Sequence[Shown]
    right: int  # index of the one that is compared with the first one to begin with


def check_suffix(path: pathlib.Path) -> None:
    """Raise unless a file's name is that of a page."""
    _targets.check_suffixes([path], (".html", ".htm"))


def restoration(
    label: str,
    x: np.ndarray,
    scores: Scores,
    cost: Mapping[str, float | str],
    settings: Mapping[str, Any],
    lpips: Perceptual,
) -> Shown:
    """What a method made of a measurement; without a picture where it diverged."""
    pixels = x if np.isfinite(x).all() else None
    return Shown(label, pixels, {**_named(scores, lpips), **cost}, settings)


def scene(
    name: str, task: Task, truth: np.ndarray, y: np.ndarray, restorations: Sequence[Shown], lpips: Perceptual
) -> Scene:
    """Restorations between what they were made from, with the task's simple answer, and the truth."""
    pictures = []
    simple = task.simple_answer(y)
    scores = {} if simple is None else _named(evaluation.score(simple, truth, lpips=lpips), lpips)
    if task.definition.stored != "array":  # amplitudes are no picture
        pictures.append(Shown("degraded", y, scores if simple is y else {}))
    if simple is not None and simple is not y:
        pictures.append(Shown("simple answer", simple, scores))
    right = len(pictures)
    return Scene(name, truth.shape, [*pictures, *restorations, Shown("original", truth)], right)


def _named(scores: Scores, lpips: Perceptual) -> dict[str, float]:
    return {title: getattr(scores, field) for field, title in score_titles(lpips).items()}


def write_page(path: pathlib.Path, title: str, facts: Mapping[str, Any], scenes: Sequence[Scene]) -> None:
    """Write the page, whole or not at all.

    Args:
      path: Of the page, `.html`.
      title: Its heading.
      facts: What is the same for all pictures, by name.
      scenes: What one may choose among; one is seen at a time.
    """
    template = string.Template(_part("page.html"))
    page = template.substitute(
        title=html.escape(title),
        facts="\n".join(f"<div>{_term(name, value)}</div>" for name, value in facts.items() if value is not None),
        numbers=_numbers(scenes),
        settings=_settings(scenes),
        scenes=_as_json([_scene(scene) for scene in scenes]),
        style=_part("page.css"),
        script=_part("page.js"),
    )
    write_whole(path, page.encode(errors="replace"))  # names of files need not be text


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _as_json(value: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(value).replace("<", "\\u003c")


def _scene(scene: Scene) -> dict[str, Any]:
    pictures = [
        {
            "label": shown.label,
            "source": None if shown.pixels is None else _source(shown.pixels),
            "numbers": {name: cell(value) for name, value in shown.numbers.items()},
        }
        for shown in scene.pictures
    ]
    height, width = scene.shape[:2]
    return {"name": scene.name, "width": width, "height": height, "right": scene.right, "pictures": pictures}


def _source(pixels: np.ndarray) -> str:
    """The picture as an address that holds it: WebP without loss, which is smaller than PNG."""
    return f"data:image/webp;base64,{base64.b64encode(encode('.webp', Picture(pixels))).decode()}"


def _term(name: str, value: Any) -> str:
    text = listed(value) if isinstance(value, Mapping) else str(value)
    return f"<dt>{html.escape(name.replace('_', ' '))}</dt><dd>{html.escape(text) or 'none'}</dd>"


def _numbers(scenes: Sequence[Scene]) -> str:
    """Rows of the table of all pictures that have numbers."""
    columns = list(dict.fromkeys(name for scene in scenes for shown in scene.pictures for name in shown.numbers))
    rows = [("picture", "shown", *columns)]
    for scene in scenes:
        for shown in scene.pictures:
            if shown.numbers:
                cells = (cell(shown.numbers[name]) if name in shown.numbers else "" for name in columns)
                rows.append((scene.name, shown.label, *cells))
    head, *body = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    head = head.replace("<td>", '<th scope="col">').replace("</td>", "</th>")
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(f"<tr>{row}</tr>" for row in body) + "\n</tbody>"


def _settings(scenes: Sequence[Scene]) -> str:
    """What made the pictures, each combination once; the pictures' sizes where they made a difference."""
    sizes: dict[tuple[str, str], list[str]] = {}
    for scene in scenes:
        for shown in scene.pictures:
            if shown.settings:
                sizes.setdefault((shown.label, listed(shown.settings)), []).append(scene.name)
    several = len(sizes) > len({label for label, _ in sizes})
    return "\n".join(
        _term(f"{label} ({', '.join(names)})" if several else label, text) for (label, text), names in sizes.items()
    )
