"""Crops of photographs, to train on."""

import os
from collections.abc import Sequence

import numpy as np

from jaxrestore import images


class Photographs:
    """Crops of the photographs of a folder, reduced to several scales, as a function of the step number.

    Raises:
      jaxrestore.images.ImageError: If the folder holds no picture, or none as large as a crop.
    """

    def __init__(self, folder: str | os.PathLike[str], *, crop_size: int, scales: Sequence[float]) -> None:
        self.crop_size = crop_size
        self.pictures: list[list[np.ndarray]] = []  # a list of scales for each photograph
        for path in images.find(folder):
            picture = images.load(path)
            sizes = [(round(picture.shape[0] * s), round(picture.shape[1] * s)) for s in scales]
            usable = [images.resize(picture, size) for size in sizes if min(size) >= crop_size]
            if usable:
                self.pictures.append([images.to_uint8(p) for p in usable])
        if not self.pictures:
            raise images.ImageError(f"{folder} has no picture of at least {crop_size}x{crop_size} pixels")

    def batch(self, seed: int, step: int, size: int) -> np.ndarray:
        """(size, crop, crop, 3), uint8; half of the crops mirrored, photographs and scales equally likely."""
        rng = np.random.default_rng((seed, step))
        crops = np.empty((size, self.crop_size, self.crop_size, 3), np.uint8)
        for i in range(size):
            scales = self.pictures[rng.integers(len(self.pictures))]
            picture = scales[rng.integers(len(scales))]
            top, left = (rng.integers(n - self.crop_size + 1) for n in picture.shape[:2])
            crop = picture[top : top + self.crop_size, left : left + self.crop_size]
            crops[i] = crop[:, ::-1] if rng.integers(2) else crop
        return crops
