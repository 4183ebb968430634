"""What a picture file holds."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

LARGEST = {8: 255, 16: 65535}  # the level of white, at each depth


class ImageError(ValueError):
    """A picture cannot be read or written."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture as its file holds it, in sRGB and turned as its camera asks."""

    pixels: np.ndarray  # (H, W, 1) or (H, W, 3), float32 in [-1, 1]
    alpha: np.ndarray | None = None  # (H, W, 1), float32; 0 is transparent, 1 is opaque
    depth: Literal[8, 16] = 8  # bits a channel of the file
    mode: Literal["grey", "colour"] = "colour"
    resolution: tuple[float, float] | None = None  # pixels per inch, to the right and down
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by PNG's keywords: Title, Author, ...

    def cut(self, cut: Callable[[np.ndarray], np.ndarray]) -> "Picture":
        """The picture with a part of its pixels, and of its transparency, that a function of (H, W, C) takes."""
        alpha = None if self.alpha is None else cut(self.alpha)
        return dataclasses.replace(self, pixels=cut(self.pixels), alpha=alpha)

    def on_white(self) -> np.ndarray:
        """(H, W, 3), float32 in [-1, 1]: in colour, transparency laid on white."""
        pixels = self.pixels if self.pixels.shape[2] == 3 else np.repeat(self.pixels, 3, axis=2)
        return pixels if self.alpha is None else laid_on_white(pixels, self.alpha)


def laid_on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What is seen of pixels in [-1, 1] before a white page."""
    return pixels * alpha + (np.float32(1.0) - alpha)


def from_levels(levels: np.ndarray, depth: int) -> np.ndarray:
    """Whole numbers from 0 (black) as float32 in [-1, 1]."""
    return levels.astype(np.float32) / np.float32(LARGEST[depth] / 2) - np.float32(1.0)


def to_levels(pixels: np.ndarray, depth: int) -> np.ndarray:
    """Values in [-1, 1], clipped and rounded to whole numbers from 0."""
    levels = np.round((np.clip(np.asarray(pixels, np.float32), -1.0, 1.0) + 1.0) * (LARGEST[depth] / 2))
    return levels.astype(np.uint8 if depth == 8 else np.uint16)
