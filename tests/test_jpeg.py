"""The JPEG operator against Pillow's encoder and decoder, and its gradient."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import jaxrestore as jr
from jaxrestore import images
from jaxrestore.operators.jpeg import quantisation_tables
from jaxrestore.pictures.jpeg_file import compression


def smooth_picture(shape=(64, 96)):
    """Colours that change slowly, some edges, a little noise; in the middle of the range, where nothing is clipped."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: shape[0], : shape[1]] / 64
    waves = np.stack([np.sin(3 * rows + k) * np.cos(5 * columns - k) for k in range(3)], -1)
    edges = 0.3 * ((rows + columns) % 1 > 0.5)[..., None]
    return images.from_uint8(images.to_uint8(0.5 * waves + edges - 0.1 + 0.03 * rng.standard_normal((*shape, 3))))


def by_pillow(x, quality, *, subsampling):
    """Encoded to a file, and decoded."""
    file = io.BytesIO()
    Image.fromarray(images.to_uint8(x)).save(file, "JPEG", quality=quality, subsampling=2 if subsampling else 0)
    return file, images.from_uint8(np.asarray(Image.open(file)))


@pytest.mark.parametrize("quality", [1, 10, 30, 49, 50, 75, 95, 100])
def test_quantisation_tables_are_those_of_the_file(quality):
    file, _ = by_pillow(smooth_picture(), quality, subsampling=False)
    tables = Image.open(file).quantization  # in the order of the blocks' rows
    ours = quantisation_tables(quality)
    np.testing.assert_array_equal(np.reshape(tables[0], (8, 8)), ours[..., 0])
    np.testing.assert_array_equal(np.reshape(tables[1], (8, 8)), ours[..., 1])


@pytest.mark.parametrize("subsampling", [False, True])
@pytest.mark.parametrize("quality", [1, 10, 50, 85, 100])
def test_a_file_tells_how_it_was_compressed(tmp_path, quality, subsampling):
    file, _ = by_pillow(smooth_picture(), quality, subsampling=subsampling)
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    assert compression(tmp_path / "a.jpg") == (quality, subsampling)


def test_a_grey_file_and_tables_of_a_cameras_own_tell_the_nearest_quality(tmp_path):
    grey = Image.fromarray(images.to_uint8(smooth_picture())).convert("L")
    grey.save(tmp_path / "grey.jpg", quality=30)
    assert compression(tmp_path / "grey.jpg") == (30, False)
    tables = [(1.03 * quantisation_tables(30)[..., i]).round().astype(int).ravel().tolist() for i in (0, 1)]
    grey.convert("RGB").save(tmp_path / "own.jpg", qtables=tables, subsampling=0)
    assert abs(compression(tmp_path / "own.jpg").quality - 30) <= 2


def test_other_files_tell_nothing_of_compression(tmp_path):
    images.save(tmp_path / "a.png", smooth_picture())
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert [compression(tmp_path / name) for name in ("a.png", "b.jpg", "missing.jpg")] == [None] * 3


@pytest.mark.parametrize("quality", [5, 10, 30])
def test_a_grey_picture_is_that_of_the_decoded_file(quality):
    """Grey has whole numbers for luminance, so nothing but the file's last rounding to 8 bits is between the two.

    Except in blocks with a coefficient about half-way between two steps, for encoders transform in integers; small steps
    have many of those.
    """
    x = np.repeat(0.8 * smooth_picture()[..., :1], 3, -1)
    x = images.from_uint8(images.to_uint8(x))
    _, decoded = by_pillow(x, quality, subsampling=False)
    ours = np.asarray(jr.operators.JPEG(x.shape, quality)(jnp.asarray(x)))
    blocks = 127.5 * np.abs(ours - decoded)[..., 0].reshape(8, 8, 12, 8).max((1, 3))
    assert (blocks < 0.6).mean() > 0.95


@pytest.mark.parametrize("quality", [5, 10, 30, 75, 95])
def test_a_coloured_picture_is_nearly_that_of_the_decoded_file(quality):
    """An encoder rounds colours to 8 bits before it transforms them, which moves some coefficients by a step."""
    x = smooth_picture()
    _, decoded = by_pillow(x, quality, subsampling=False)
    ours = np.asarray(jr.operators.JPEG(x.shape, quality)(jnp.asarray(x)))
    assert 127.5 * np.abs(ours - decoded).mean() < 1.5
    assert np.abs(ours - decoded).mean() < (0.2 if quality <= 30 else 0.6) * np.abs(decoded - x).mean()


@pytest.mark.parametrize("quality", [10, 75])
def test_halved_chrominance_is_nearly_that_of_the_file(quality):
    """libjpeg interpolates chrominance when it decodes, where this operator repeats it: equal but for edges of colour."""
    x = smooth_picture()
    _, decoded = by_pillow(x, quality, subsampling=True)
    full, half = (np.asarray(jr.operators.JPEG(x.shape, quality, s)(jnp.asarray(x))) for s in (False, True))
    assert np.abs(half - decoded).mean() < 0.6 * np.abs(full - decoded).mean() + 0.6 / 127.5


@pytest.mark.slow
@given(st.integers(1, 100), st.floats(-1.0, 1.0))
def test_a_flat_grey_picture_stays_flat_and_grey(quality, level):
    y = np.asarray(jr.operators.JPEG((8, 16, 3), quality)(jnp.full((8, 16, 3), level)))
    np.testing.assert_allclose(y, np.broadcast_to(y[0, 0, 0], y.shape), atol=1e-5)
    # The mean of a block is a multiple of an eighth of the table's first entry, half of which is the largest error.
    assert abs(y[0, 0, 0] - level) <= quantisation_tables(quality)[0, 0, 0] / 16 / 127.5 + 1e-5


def test_compressing_twice_changes_nothing_more():
    """Where nothing is clipped, what is quantised already is a fixed point."""
    x = 0.4 * smooth_picture()
    operator = jr.operators.JPEG(x.shape, 50)
    once = operator(jnp.asarray(x))
    np.testing.assert_allclose(operator(once), once, atol=1e-4)


def test_the_gradient_is_that_of_the_picture_without_rounding():
    """Of the identity, for the transforms are orthogonal and nothing is clipped."""
    x = jnp.asarray(0.4 * smooth_picture())
    v = jax.random.normal(jax.random.key(0), x.shape)
    _, back = jax.vjp(jr.operators.JPEG(x.shape, 30), x)
    np.testing.assert_allclose(back(v)[0], v, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((60, 64, 3), 10), "expected sides that are multiples of 8; crop the image to 56x64"),
        (((56, 64, 3), 10, True), "expected sides that are multiples of 16; crop the image to 48x64"),
        (((64, 64, 1), 10), "expected three channels"),
        (((64, 64, 3), 0), "quality is 0"),
        (((64, 64, 3), 101), "quality is 101"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        jr.operators.JPEG(*arguments)
