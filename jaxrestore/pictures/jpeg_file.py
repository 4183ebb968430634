"""What a JPEG file tells of its compression."""

import os
from typing import NamedTuple

import numpy as np

from jaxrestore.operators.jpeg import quantisation_tables


class Compression(NamedTuple):
    """How a file was compressed."""

    quality: int  # 1 to 100, as libjpeg counts: that whose tables are nearest to the file's
    subsampling: bool  # whether chrominance has fewer pixels than luminance


def compression(path: str | os.PathLike[str]) -> Compression | None:
    """Quality and subsampling of a JPEG file, from its quantisation tables and components; None of any other file.

    Cameras have tables of their own; the quality is then that whose steps differ least by ratio.
    """
    from PIL import Image, JpegImagePlugin

    try:
        with Image.open(path) as picture:
            if not isinstance(picture, JpegImagePlugin.JpegImageFile):
                return None
            tables = [np.reshape(table, (8, 8)) for _, table in sorted(picture.quantization.items())]
            coloured = picture.layers >= 3
            sampling = JpegImagePlugin.get_sampling(picture)
    except Exception:  # it will be named where its pixels are read
        return None
    if not tables:
        return None
    # Grey files have one table, and some encoders take one for all.
    count = 2 if coloured and len(tables) > 1 else 1
    found = np.log(np.maximum(np.stack(tables[:count], -1), 1))
    misfits = [np.abs(np.log(quantisation_tables(quality)[..., :count]) - found).sum() for quality in range(1, 101)]
    return Compression(1 + int(np.argmin(misfits)), coloured and sampling != 0)
