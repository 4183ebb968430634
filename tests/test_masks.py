"""Masks and kernels as people make them."""

import warnings

import numpy as np
import pytest
from PIL import Image

from jaxrestore import images

KNOWN = np.random.default_rng(0).random((6, 5)) < 0.7
WHITE = (255 * KNOWN).astype(np.uint8)


def known(path, shape=(6, 5)):
    """The mask, read without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = images.load_mask(path, shape)
    assert mask.shape == (*shape[:2], 1)
    assert mask.dtype == np.float32
    return mask[..., 0] == 1


def saved(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def with_alpha(colour, alpha):
    return np.dstack([np.broadcast_to(colour, (6, 5, 3)), np.broadcast_to(alpha, (6, 5))]).astype(np.uint8)


@pytest.mark.parametrize(
    "pixels",
    [
        WHITE,
        KNOWN,  # 1 bit
        KNOWN.astype(np.uint8),  # 0 and 1 in a file of 8 bits
        np.repeat(KNOWN.astype(np.uint8)[..., None], 3, axis=2),
        WHITE.astype(np.uint16) * 257,
        KNOWN.astype(np.uint16),
        np.where(KNOWN, 200, 40).astype(np.uint8),
        with_alpha(255, WHITE),  # white, missing pixels erased
        with_alpha(WHITE[..., None], WHITE),  # missing pixels black and transparent
        with_alpha(WHITE[..., None], 255),
        np.dstack([WHITE, np.full_like(WHITE, 255)]),
    ],
)
def test_known_pixels_are_found(tmp_path, pixels):
    np.testing.assert_array_equal(known(saved(tmp_path / "mask.png", pixels)), KNOWN)


def test_what_is_visible_of_a_photograph_with_holes_is_known(tmp_path):
    dark = np.random.default_rng(1).integers(10, 90, (6, 5, 3))
    np.testing.assert_array_equal(known(saved(tmp_path / "mask.png", with_alpha(dark, WHITE))), KNOWN)


def test_soft_masks_are_rounded_at_the_middle(tmp_path):
    path = saved(tmp_path / "mask.png", np.linspace(0, 255, 30).reshape(6, 5).astype(np.uint8))
    with pytest.warns(UserWarning, match="is grey in 47% of its pixels"):
        mask = images.load_mask(path, (6, 5))
    np.testing.assert_array_equal(mask.reshape(-1), np.arange(30) >= 15)


def test_the_picture_s_shape_may_have_channels(tmp_path):
    np.testing.assert_array_equal(known(saved(tmp_path / "mask.png", WHITE), (6, 5, 3)), KNOWN)


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    with pytest.raises(images.ImageError, match=r"mask\.png has 6x5 pixels, expected the picture's 5x6"):
        images.load_mask(saved(tmp_path / "mask.png", WHITE), (5, 6, 3))


@pytest.mark.parametrize(("value", "message"), [(255, "hides nothing"), (0, "hides everything")])
def test_a_mask_that_says_one_thing_of_all_pixels_is_doubted(tmp_path, value, message):
    with pytest.warns(UserWarning, match=message):
        mask = images.load_mask(saved(tmp_path / "mask.png", np.full((6, 5), value, np.uint8)), (6, 5))
    assert (mask == (value > 0)).all()


WEIGHTS = np.random.default_rng(2).random((5, 3))


@pytest.mark.parametrize("scale", [1.0, 7.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernels_are_read_from_arrays_and_scaled_to_sum_one(tmp_path, scale, dtype):
    np.save(tmp_path / "k.npy", (scale * WEIGHTS).astype(dtype))
    kernel = images.load_kernel(tmp_path / "k.npy")
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel, WEIGHTS / WEIGHTS.sum(), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_kernels_are_read_from_pictures_at_their_depth(tmp_path, dtype, largest):
    path = saved(tmp_path / "k.png", np.round(WEIGHTS * largest).astype(dtype))
    # Half a level in each weight, relative to their mean.
    np.testing.assert_allclose(images.load_kernel(path), WEIGHTS / WEIGHTS.sum(), atol=1 / largest / WEIGHTS.sum())


def test_black_and_transparent_weights_are_exactly_zero(tmp_path):
    weights = np.zeros((3, 3), np.uint8)
    weights[1, 1], weights[0, 0] = 90, 60
    alpha = np.full_like(weights, 255)
    alpha[0, 0] = 0
    kernel = images.load_kernel(saved(tmp_path / "k.png", np.dstack([weights, weights, weights, alpha])))
    np.testing.assert_array_equal(kernel, np.eye(3)[1][:, None] * np.eye(3)[1])


@pytest.mark.parametrize(
    ("shape", "mend"),
    [
        ((4, 5), "add a row of zeros"),
        ((5, 4), "add a column of zeros"),
        ((4, 4), "add a row of zeros .* and a column of zeros"),
    ],
)
def test_even_kernels_are_refused_with_the_mend(tmp_path, shape, mend):
    np.save(tmp_path / "k.npy", np.ones(shape))
    with pytest.raises(images.ImageError, match=rf"k\.npy has {shape[0]}x{shape[1]} pixels, expected odd .*{mend}"):
        images.load_kernel(tmp_path / "k.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 3)), "is all black"),
        (-np.ones((3, 3)), "sums to -9"),
        (np.full((3, 3), np.nan), "values that are not finite"),
        (np.ones(3), r"of shape \(3,\), expected numbers \(height, width\)"),
        (np.ones((3, 3, 3)), r"of shape \(3, 3, 3\)"),
        (np.array([["a"]]), "expected numbers"),
    ],
)
def test_arrays_that_are_no_kernel_are_refused(tmp_path, array, message):
    np.save(tmp_path / "k.npy", array)
    with pytest.raises(images.ImageError, match=message):
        images.load_kernel(tmp_path / "k.npy")


def test_missing_and_damaged_kernels_are_named(tmp_path):
    with pytest.raises(images.ImageError, match="does not exist"):
        images.load_kernel(tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(images.ImageError, match="cannot be read as an array"):
        images.load_kernel(tmp_path / "text.npy")
