"""PSNR and SSIM: how far a restored image is from the truth, pixel by pixel and window by window."""

import jax
import jax.numpy as jnp

from jaxrestore import _checks


def psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    """Peak signal-to-noise ratio in dB for images (H, W, C) in [-1, 1], a range of 2; infinite for equal images.

    Raises:
      ValueError: If the two are not images of one shape.
    """
    _checks.image_pair(a, b)
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

    _checks.image_pair(a, b)
    if min(a.shape[:2]) < 11:
        raise ValueError(f"a has shape {a.shape}, expected sides of at least 11, the window")
    # On [0, 1]: the means are then not negative, as SSIM's luminance term assumes.
    return jnp.asarray(dm_pix.ssim((a + 1) / 2, (b + 1) / 2, max_val=1.0, filter_size=11, filter_sigma=1.5))
