"""What one would try first, to compare restorations with: no prior, no iterations."""

import jax.numpy as jnp
import numpy as np

from jaxrestore import operators


def unchanged(operator: operators.Operator, y: np.ndarray) -> np.ndarray:
    """The measurement as it is."""
    return y


def none(operator: operators.Operator, y: np.ndarray) -> None:
    """There is no simple answer."""
    return None


def back_projected(operator: operators.Operator, y: np.ndarray) -> np.ndarray:
    """What was measured, and 0 for what was not."""
    return np.asarray(operators.pseudo_inverse(operator, jnp.asarray(y)))


def enlarged(operator: operators.Operator, y: np.ndarray) -> np.ndarray:
    """Bicubic enlargement to the size of the image."""
    from PIL import Image

    height, width, channels = operator.image_shape
    planes = [Image.fromarray(y[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(channels)]
    return np.stack([np.asarray(p) for p in planes], -1)


def darkened(operator: operators.HighDynamicRange, y: np.ndarray) -> np.ndarray:
    """The over-exposed picture at its true brightness; what was clipped stays lost."""
    return y / operator.scale


def grey(operator: operators.Operator, y: np.ndarray) -> np.ndarray:
    """The grey picture in all channels."""
    return np.repeat(y, operator.image_shape[2], 2)


def interpolated(operator: operators.Inpainting, y: np.ndarray) -> np.ndarray:
    """Linear interpolation between known pixels, the nearest known one outside their hull."""
    mask = np.asarray(operator.mask)
    known = np.broadcast_to((mask if mask.ndim == 3 else mask[..., None]) != 0, y.shape)
    if (known == known[..., :1]).all():
        return _interpolated(y, known[..., 0])
    return np.concatenate([_interpolated(y[..., c : c + 1], known[..., c]) for c in range(y.shape[2])], -1)


def _interpolated(y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The same, with one mask (H, W) for all channels."""
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    points, missing = np.argwhere(known), np.argwhere(~known)
    filled = np.array(y, np.float32)
    if not len(points) or not len(missing):
        return filled
    values = np.full((len(missing), y.shape[2]), np.nan)
    if np.linalg.matrix_rank(points - points[0]) == 2:  # points along one line have no hull
        values = LinearNDInterpolator(points, y[known])(missing)
    outside = np.isnan(values).any(-1)
    values[outside] = NearestNDInterpolator(points, y[known])(missing[outside])
    filled[tuple(missing.T)] = values
    return filled
