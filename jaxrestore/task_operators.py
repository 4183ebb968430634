"""The operators of the named tasks, from an image shape, a key and the task's options; and their noise.

The keyword arguments are what `jaxrestore.task` and the command line take as options, with their defaults.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import operators
from jaxrestore.geometry import Options, Shape
from jaxrestore.noise import GaussianNoise, JPEGNoise, Noise, NoNoise
from jaxrestore.operators.blur import gaussian_kernel
from jaxrestore.operators.resize import reduction_matrix
from jaxrestore.pictures import jpeg_file


def super_resolution(shape: Shape, key: jax.Array, *, factor: int = 4, kernel: str = "bicubic"):
    """An integer factor."""
    return operators.SuperResolution(shape, factor, kernel=kernel)


def gaussian_deblur(
    shape: Shape,
    key: jax.Array,
    *,
    kernel_size: int = 61,
    std: float = 3.0,
    boundary: str = "reflect",
    kernel: jax.Array | None = None,
):
    """A Gaussian, or a kernel of the user's."""
    if kernel is None and boundary == "reflect":
        return operators.GaussianBlur(shape, kernel_size, std)
    if kernel is None:
        taps = gaussian_kernel(kernel_size, std)
        kernel = jnp.asarray(np.outer(taps, taps), jnp.float32)
    if kernel.ndim == 1:  # along both axes
        return operators.SeparableBlur(shape, tuple(map(float, kernel)), boundary)
    return operators.Convolution(shape, jnp.asarray(kernel, jnp.float32), boundary)


def motion_deblur(
    shape: Shape,
    key: jax.Array,
    *,
    kernel_size: int = 61,
    intensity: float = 0.5,
    kernel: jax.Array | None = None,
    boundary: str = "reflect",
):
    """A kernel drawn at random, or the user's."""
    kernel = operators.motion_kernel(key, kernel_size, intensity) if kernel is None else kernel
    if boundary == "reflect":
        return operators.MotionBlur(shape, kernel)
    return operators.Convolution(shape, kernel, boundary)


def inpainting_random(shape: Shape, key: jax.Array, *, rate: float = 0.8, mask: jax.Array | None = None):
    """Single pixels."""
    return operators.Inpainting(operators.random_mask(key, shape, rate) if mask is None else mask, shape[2])


def inpainting_box(
    shape: Shape, key: jax.Array, *, box: int | None = None, margin: int | None = None, mask: jax.Array | None = None
):
    """A box; at other sizes than 256x256 in proportion to the published one."""
    if mask is not None:
        return operators.Inpainting(mask, shape[2])
    # Published at 256x256: 128x128 with 16 pixels around; other sizes in proportion.
    side = min(shape[:2])
    box, margin = side // 2 if box is None else box, side // 16 if margin is None else margin
    return operators.Inpainting(operators.box_mask(key, shape, (box, box), margin=margin), shape[2])


def phase_retrieval(shape: Shape, key: jax.Array, *, oversample: float = 2.0, padded: str = "unit"):
    """Fourier amplitudes."""
    return operators.PhaseRetrieval(shape, oversample, padded)


def nonlinear_deblur(
    shape: Shape,
    key: jax.Array,
    *,
    weights: str | os.PathLike[str] | None = None,
    intensity: float = 1.2,
    code: jax.Array | None = None,
):
    """Converted weights, and a code drawn at random unless it is given."""
    if weights is None:
        raise ValueError(
            "nonlinear_deblur needs the converted blur network: option weights=FOLDER, written by "
            "`python -m convert_weights bkse GOPRO_wVAE.pth --out FOLDER`"
        )
    params = operators.load_nonlinear_blur(weights)
    code = operators.random_blur_code(key, shape, params, intensity=intensity) if code is None else code
    return operators.NonlinearBlur(shape, params, code)


def high_dynamic_range(shape: Shape, key: jax.Array, *, scale: float = 2.0):
    """Clipped brightness."""
    return operators.HighDynamicRange(shape, scale)


def jpeg(shape: Shape, key: jax.Array, *, quality: int = 10, subsampling: bool = False):
    """A decoded JPEG file."""
    return operators.DecodedJPEG(shape, quality, subsampling)


def jpeg_told(path: str | os.PathLike[str]) -> Options:
    """Quality and subsampling of a JPEG file; nothing of others, which may hold what was compressed before."""
    found = jpeg_file.compression(path)
    return {} if found is None else found._asdict()


def nothing_told(path: str | os.PathLike[str]) -> Options:
    """The file tells no options."""
    return {}


def jpeg_noise(operator: operators.DecodedJPEG, std: float) -> Noise:
    """What a file's quality makes; there is no other."""
    if std:
        raise ValueError(f"noise_std is {std}, expected 0: a JPEG file has no noise but what its quality makes")
    return JPEGNoise(operator.quality, operator.subsampling)


def gaussian_noise(operator: operators.Operator, std: float) -> Noise:
    """None where its deviation is 0."""
    return GaussianNoise(jnp.float32(std)) if std else NoNoise()


def demosaicing(shape: Shape, key: jax.Array, *, pattern: str = "RGGB"):
    """One of the Bayer patterns."""
    return operators.Demosaicing(shape, pattern)


def deconvolution(
    shape: Shape,
    key: jax.Array,
    *,
    kernel_size: int = 21,
    intensity: float = 0.5,
    boundary: str = "circular",
    kernel: jax.Array | None = None,
):
    """A kernel drawn at random, or the user's."""
    kernel = operators.motion_kernel(key, kernel_size, intensity) if kernel is None else kernel
    return operators.Convolution(shape, kernel, boundary)


def dehazing(shape: Shape, key: jax.Array, *, transmission: float | jax.Array = 0.4, airlight: float | jax.Array = 0.8):
    """One density and colour."""
    return operators.Haze(shape, jnp.asarray(transmission), jnp.asarray(airlight))


def compressed_sensing(
    shape: Shape, key: jax.Array, *, rate: float = 0.75, transform: str = "fourier", mask: jax.Array | None = None
):
    """Coefficients drawn at random, or those of the user's mask."""
    mask = operators.sampling_mask(key, shape, rate, transform) if mask is None else mask
    return operators.CompressedSensing(mask, shape[2], transform)


def denoising(shape: Shape, key: jax.Array):
    """The image itself."""
    return operators.Denoising(shape)


def colorization(shape: Shape, key: jax.Array):
    """Its grey."""
    return operators.Colorization(shape)


def usual_gain(operator: operators.Operator) -> float:
    """No option changes how strong the operator is."""
    return 1.0


def reduction_gain(operator: operators.SuperResolution) -> float:
    """Averages of fewer pixels are larger; so is the last of a side that the factor does not divide."""
    rows, columns = (reduction_matrix(n, operator.factor, operator.kernel) for n in operator.image_shape[:2])
    norm = (np.linalg.norm(rows @ rows.T, 2) * np.linalg.norm(columns @ columns.T, 2)) ** 0.5
    return 4 * max(1 / operator.factor, float(norm))


def exposure_gain(operator: operators.HighDynamicRange) -> float:
    """As much as is brightened."""
    return float(operator.scale) / 2
