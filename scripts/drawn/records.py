"""A picture and beside it what made it, so that a run that was stopped goes on and pages can say what they show."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import _results
from jaxrestore.storage.files import replacing

QUALITY = 85  # of JPEG files: they are kept in git


def due(record: pathlib.Path, picture: pathlib.Path, facts: Mapping[str, Any]) -> bool:
    """Whether a picture is missing, or its record states other facts."""
    if not (record.exists() and picture.exists()):
        return True
    stored = json.loads(record.read_text())
    asked = json.loads(json.dumps(facts))  # tuples are lists in the file
    return any(stored.get(name) != value for name, value in asked.items())


def write_picture(path: pathlib.Path, pixels: np.ndarray) -> None:
    """Write uint8 (H, W, 3) as JPEG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="JPEG", quality=QUALITY, optimize=True)


def write_record(path: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Write a record, after its picture, with when, by which code and on what machine they were made."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({**record, **_results.stamp()}, indent=2) + "\n")
