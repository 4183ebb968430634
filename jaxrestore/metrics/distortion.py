"""PSNR and SSIM: how far a restored image is from the truth, pixel by pixel and window by window."""

import math

import jax
import jax.numpy as jnp

from jaxrestore import _checks


def psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio in dB for images (H, W, C) in [-1, 1], a range of 2; infinite for equal images.

    Raises:
      ValueError: If the two are not images of one shape.
    """
    _checks.image_pair(a, b)
    return 20.0 * math.log10(2.0) - 10.0 * jnp.log10(jnp.mean(jnp.square(a - b)))


def ssim(a: jax.Array, b: jax.Array, *, shrink: bool = False) -> jax.Array:
    """Structural similarity of images (H, W, C) in [-1, 1], mean over pixels and channels.

    Gaussian window 11x11 with sigma 1.5, biased covariances, valid region only: scikit-image with
    `gaussian_weights=True, use_sample_covariance=False, data_range=2`.

    Figures for images above 256x256 depend on whether these are shrunk first. piq, which SPGD, DAPS and InverseBench
    report, does so by default, as the program of SSIM's authors does: at 512x512 noise that gives 0.53 as it is may
    give 0.80 shrunk. Up to 383 pixels along the shorter side both are the same.

    Args:
      a: Image.
      b: Image of the same shape.
      shrink: Average blocks of f x f pixels first, f = max(1, round(min(H, W) / 256)) with halves to even. Pixels
        beyond the last whole block are left out.

    Returns:
      (), at most 1; larger is better.

    Raises:
      ValueError: If the two are not images of one shape with sides of at least 11 (after shrinking).

    References:
      Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, IEEE TIP 2004.
    """
    import dm_pix

    _checks.image_pair(a, b)
    if shrink:
        a, b = (_averaged(x, max(1, round(min(x.shape[:2]) / 256))) for x in (a, b))
    if min(a.shape[:2]) < 11:
        raise ValueError(f"a has shape {a.shape}, expected sides of at least 11, the window")
    # On [0, 1]: the means are then not negative, as SSIM's luminance term assumes.
    return jnp.asarray(dm_pix.ssim((a + 1) / 2, (b + 1) / 2, max_val=1.0, filter_size=11, filter_sigma=1.5))


def _averaged(x: jax.Array, factor: int) -> jax.Array:
    """Means of blocks of factor x factor pixels."""
    height, width = (side // factor for side in x.shape[:2])
    blocks = x[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return blocks.mean((1, 3))
