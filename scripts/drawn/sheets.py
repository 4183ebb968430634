"""Many pictures on one sheet."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import jaxrestore as jr
from jaxrestore import images

GAP = 4  # pixels between pictures
_TEXT = 11  # pixels, height of the letters


def measured(task: jr.Task, y: np.ndarray) -> np.ndarray | None:
    """Show a measurement at the image's size (H, W, 3); the pixels of small ones are repeated, so that they show.

    Returns:
      None where the measurement is no picture.
    """
    if task.definition.stored == "array":
        return None
    height, width, _ = task.degradation.image_shape
    y = y.repeat(height // y.shape[0], 0).repeat(width // y.shape[1], 1)
    return np.broadcast_to(y, (*y.shape[:2], 3))


def centre(picture: np.ndarray, side: int) -> np.ndarray:
    """The centre, as it is."""
    return images.centre(picture, min(side, *picture.shape[:2]))


def reduced(picture: np.ndarray, side: int) -> np.ndarray:
    """The whole picture, its centre square where it is none, at `side` pixels."""
    picture = images.centre(picture)
    return images.resize(picture, (side, side)) if len(picture) > side else picture


def blocks(rows: Sequence[Sequence[np.ndarray]], columns: int) -> np.ndarray:
    """Rows of square pictures in [-1, 1] as uint8, broken like text: after `columns` all rows begin again below.

    Args:
      rows: Each with as many pictures as the others, (S, S, 3); what is not finite is left white.
      columns: Pictures beside each other.
    """
    side, count = len(rows[0][0]), len(rows[0])
    breaks = range(0, count, columns)
    height = len(breaks) * (len(rows) * (side + GAP) + 2 * GAP) - 3 * GAP
    sheet = np.full((height, min(columns, count) * (side + GAP) - GAP, 3), 255, np.uint8)
    for block, first in enumerate(breaks):
        for j, row in enumerate(rows):
            top = block * (len(rows) * (side + GAP) + 2 * GAP) + j * (side + GAP)
            for i, picture in enumerate(row[first : first + columns]):
                if np.isfinite(picture).all():
                    left = i * (side + GAP)
                    sheet[top : top + side, left : left + side] = images.to_uint8(picture)
    return sheet


def labelled(rows: Sequence[Sequence[tuple[np.ndarray, str]]]) -> np.ndarray:
    """Rows of square pictures in [-1, 1], each with lines of text below it, as uint8.

    Args:
      rows: Pictures (S, S, 3) with their texts, of any number in a row; what is not finite is left white.
    """
    side = len(rows[0][0][0])
    lines = 1 + max(text.count("\n") for row in rows for _, text in row)
    foot = lines * (_TEXT + 3) + GAP
    width, height = max(len(row) for row in rows) * (side + GAP) - GAP, len(rows) * (side + foot)
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for j, row in enumerate(rows):
        for i, (picture, text) in enumerate(row):
            left, top = i * (side + GAP), j * (side + foot)
            if np.isfinite(picture).all():
                sheet.paste(Image.fromarray(images.to_uint8(picture)), (left, top))
            draw.multiline_text((left, top + side + 1), text, fill="black", font=font, spacing=2)
    return np.asarray(sheet)
