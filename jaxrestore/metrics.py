"""How close a restored image is to the truth: PSNR, SSIM and LPIPS, on single images in [-1, 1].

Values are used as they are: clip to [-1, 1], or round to 8 bits, before comparing with published figures.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks

LPIPSParams = dict[str, jax.Array]
_LPIPS_ALEX = pathlib.Path(__file__).parent / "weights" / "lpips_alexnet.npz"
_LPIPS_MEAN = np.array([-0.030, -0.088, -0.188], np.float32)  # of the network's training images, on [-1, 1]
_LPIPS_STD = np.array([0.458, 0.448, 0.450], np.float32)
_STRIDES, _PADDINGS, _POOL_BEFORE = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), (1, 2)


def _check_pair(a: jax.Array, b: jax.Array) -> None:
    if a.ndim != 3:
        raise ValueError(f"a has shape {a.shape}, expected one image (H, W, C); for a batch use jax.vmap")
    _checks.array("a", a, a.shape)
    _checks.array("b", b, a.shape)


def psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio in dB for images (H, W, C) in [-1, 1], a range of 2; infinite for equal images.

    Raises:
      ValueError: If the two are not images of one shape.
    """
    _check_pair(a, b)
    return 20.0 * jnp.log10(2.0) - 10.0 * jnp.log10(jnp.mean(jnp.square(a - b)))


def ssim(a: jax.Array, b: jax.Array) -> jax.Array:
    """Structural similarity of images (H, W, C) in [-1, 1], mean over pixels and channels.

    Gaussian window 11x11 with sigma 1.5, biased covariances, valid region only: scikit-image with
    `gaussian_weights=True, use_sample_covariance=False, data_range=2`.

    Raises:
      ValueError: If the two are not images of one shape with sides of at least 11.

    References:
      Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, IEEE TIP 2004.
    """
    import dm_pix

    _check_pair(a, b)
    if min(a.shape[:2]) < 11:
        raise ValueError(f"a has shape {a.shape}, expected sides of at least 11, the window")
    # On [0, 1]: the means are then not negative, as SSIM's luminance term assumes.
    return jnp.asarray(dm_pix.ssim((a + 1) / 2, (b + 1) / 2, max_val=1.0, filter_size=11, filter_sigma=1.5))


@functools.lru_cache(maxsize=1)
def load_lpips() -> LPIPSParams:
    """Weights of LPIPS with AlexNet (Zhang et al. 2018), held in float32; pass them to `lpips` inside jitted code."""
    with jax.ensure_compile_time_eval(), np.load(_LPIPS_ALEX) as stored:
        return {name: jnp.asarray(stored[name], jnp.float32) for name in stored.files}


def lpips(a: jax.Array, b: jax.Array, params: LPIPSParams | None = None) -> jax.Array:
    """Learned perceptual distance "lpips-alex" (version 0.1 of the `lpips` package) of images (H, W, 3) in [-1, 1].

    Args:
      a: Image.
      b: Image of the same shape; sides of at least 31 pixels.
      params: Weights from `load_lpips`. None loads them; in jitted code that makes them constants of the program.

    Returns:
      (), 0 for equal images; differentiable, with gradient 0 there.

    Raises:
      ValueError: If the two are not colour images of one shape, or are too small.

    References:
      Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018.
    """
    _check_pair(a, b)
    if a.shape[-1] != 3 or min(a.shape[:2]) < 31:
        raise ValueError(f"a has shape {a.shape}, expected (H, W, 3) with sides of at least 31")
    params = load_lpips() if params is None else params
    total = jnp.float32(0.0)
    for i, (fa, fb) in enumerate(zip(_features(a, params), _features(b, params), strict=True)):
        total = total + jnp.mean(jnp.square(_unit(fa) - _unit(fb)) @ params[f"heads.{i}.weight"])
    return total


def _features(x: jax.Array, params: LPIPSParams) -> list[jax.Array]:
    """AlexNet's five ReLU outputs, each (h, w, channels)."""
    h = ((x - _LPIPS_MEAN) / _LPIPS_STD)[None]
    outputs = []
    for i, (stride, padding) in enumerate(zip(_STRIDES, _PADDINGS, strict=True)):
        if i in _POOL_BEFORE:
            h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
        h = jax.lax.conv_general_dilated(
            h,
            params[f"features.conv{i}.kernel"],
            (stride, stride),
            ((padding, padding), (padding, padding)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",
        )
        h = jax.nn.relu(h + params[f"features.conv{i}.bias"])
        outputs.append(h[0])
    return outputs


def _unit(features: jax.Array) -> jax.Array:
    """Features divided by their norm over channels; where all are 0, the norm's gradient would be infinite."""
    squared = jnp.sum(jnp.square(features), -1, keepdims=True)
    norm = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
    return features / (norm + 1e-10)
