"""The FID in both variants: features are the packages', statistics NumPy's, distances those of closed forms."""

import functools
import importlib
import json
import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from click.testing import CliRunner
from conftest import relative_error

from benchmarks import fid as benchmark
from convert_weights import inception as conversion
from convert_weights import reading
from convert_weights.cli import command
from convert_weights.reading import ConversionError
from jaxrestore import images
from jaxrestore.metrics.fid import FeatureStatistics, frechet_distance, load_statistics, measure, save_statistics
from jaxrestore.metrics.inception import (
    FEATURES,
    VARIANTS,
    inception_features,
    inception_shapes,
    load_inception,
    pooled_features,
    prepare,
)

# The function of that name hides the module where `jaxrestore.metrics` offers it.
module = importlib.import_module("jaxrestore.metrics.fid")
BATCH = 2  # of all tests: compiling the network is most of their time


def random_state():
    """A state dict as PyTorch has it, with every normalisation doing something, that keeps activations near one."""
    rng, state = np.random.default_rng(0), {}
    for name, kernel in inception_shapes().items():
        layer, leaf = name.rsplit(".", 1)
        if leaf == "kernel":
            height, width, inputs, outputs = kernel.shape
            weight = rng.standard_normal((outputs, inputs, height, width)) * np.sqrt(2 / (height * width * inputs))
            state[f"{layer}.conv.weight"] = weight
            state[f"{layer}.bn.weight"] = rng.uniform(0.8, 1.2, outputs)
            state[f"{layer}.bn.bias"] = 0.1 * rng.standard_normal(outputs)
            state[f"{layer}.bn.running_mean"] = 0.1 * rng.standard_normal(outputs)
            state[f"{layer}.bn.running_var"] = rng.uniform(0.5, 1.5, outputs)
    state |= {"fc.weight": np.zeros((1008, FEATURES)), "fc.bias": np.zeros(1008)}
    return {name: value.astype(np.float32) for name, value in state.items()}


@pytest.fixture(scope="module")
def state():
    return random_state()


@pytest.fixture(scope="module")
def params(state):
    return {name: jnp.asarray(value) for name, value in conversion.convert(state).items()}


@pytest.fixture(scope="module")
def checkpoint(state, tmp_path_factory):
    torch = pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, path)
    return path


def pictures(*sizes, seed=0):
    """Pictures of several sizes: smooth shapes under noise, of different contrasts, as photographs differ."""
    rng, made = np.random.default_rng(seed), []
    for i, (height, width) in enumerate(sizes):
        coarse = images.resize(rng.uniform(-1, 1, (5, 5, 3)).astype(np.float32), (height, width))
        made.append(images.to_uint8(coarse / (i + 1) + 0.1 * rng.standard_normal((height, width, 3))))
    return made


SIZES = (40, 56), (299, 299), (401, 320)


def torch_tensor(picture):
    torch = pytest.importorskip("torch")
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def of_pytorch_fid(checkpoint, monkeypatch):
    """The package's network as a function of one picture."""
    torch, package = pytest.importorskip("torch"), pytest.importorskip("pytorch_fid.inception")
    monkeypatch.setattr(package, "load_state_dict_from_url", lambda *_, **__: torch.load(checkpoint))
    network = package.InceptionV3().eval()
    return lambda picture: network(torch_tensor(picture) / 255)[0][..., 0, 0].numpy()


def of_torch_fidelity(checkpoint, monkeypatch):
    package = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network = package.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=checkpoint)
    return lambda picture: network(torch_tensor(picture))[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "package"),
    [
        ("pytorch-fid", of_pytorch_fid),
        # The same network; what differs, how pictures are resized, is compared to the bit below.
        pytest.param("torch-fidelity", of_torch_fidelity, marks=pytest.mark.slow),
    ],
)
def test_features_are_those_of_the_package(variant, package, params, checkpoint, monkeypatch):
    features_of, made = package(checkpoint, monkeypatch), pictures((40, 56), (401, 320))
    expected = np.concatenate([features_of(picture) for picture in made])
    shown = [prepare(picture[None], variant=variant) for picture in made]
    features = np.asarray(pooled_features(np.concatenate(shown), params))
    assert features.shape == (BATCH, FEATURES)
    for one, other in zip(features, expected, strict=True):
        assert relative_error(one, other) < 1e-5
    # What differs between pictures is what the FID measures, and less than the features themselves.
    assert relative_error(features - features.mean(0), expected - expected.mean(0)) < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_pictures_are_resized_as_pytorch_does(size):
    functional = pytest.importorskip("torch").nn.functional
    (picture,) = pictures(size)
    expected = 2 * functional.interpolate(torch_tensor(picture) / 255, (299, 299), mode="bilinear") - 1
    shown = prepare(picture[None], variant="pytorch-fid")
    # A place among hundreds of pixels keeps 2e-5 of a pixel in float32.
    np.testing.assert_allclose(shown[0], expected[0].permute(1, 2, 0), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_pictures_are_resized_as_torch_fidelity_does_to_the_bit(size):
    package = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    resize = package.interpolate_bilinear_2d_like_tensorflow1x
    (picture,) = pictures(size)
    expected = (resize(torch_tensor(picture).float(), size=(299, 299), align_corners=False) - 128) / 128
    shown = prepare(picture[None], variant="torch-fidelity")
    np.testing.assert_array_equal(shown[0], expected[0].permute(1, 2, 0))


def test_host_and_device_prepare_alike():
    stack = np.stack(pictures((40, 56), (40, 56)))
    for variant in VARIANTS:
        np.testing.assert_allclose(
            prepare(jnp.asarray(stack), variant=variant), prepare(stack, variant=variant), atol=1e-6
        )


@pytest.mark.slow
def test_batch_mates_do_not_change_the_features_of_a_picture(params):
    stack = jnp.asarray(np.stack(pictures(*[(64, 48)] * BATCH)))
    together = inception_features(stack, params, variant="pytorch-fid")
    alone = inception_features(stack[jnp.array([1] * BATCH)], params, variant="pytorch-fid")
    assert relative_error(alone[0], together[1]) < 1e-6


def test_pictures_and_weights_that_do_not_fit_are_refused(params):
    picture = jnp.zeros((1, 9, 9, 3), jnp.uint8)
    features = functools.partial(inception_features, variant="pytorch-fid")
    with pytest.raises(ValueError, match=r"pictures has shape \(9, 9, 3\), expected \(N, H, W, 3\)"):
        features(picture[0], params)
    with pytest.raises(
        TypeError, match="pictures has dtype float32, expected uint8; for .* use jaxrestore.images.to_u"
    ):
        features(picture.astype(jnp.float32), params)
    with pytest.raises(ValueError, match="variant is 'clean-fid', expected one of 'pytorch-fid', 'torch-fidelity'"):
        inception_features(picture, params, variant="clean-fid")
    fewer = {name: value for name, value in params.items() if name != "Mixed_7c.branch_pool.bias"}
    with pytest.raises(
        ValueError, match="params has 187 arrays, of which 187 fit the Inception network of 188; convert"
    ):
        features(picture, fewer)
    with pytest.raises(ValueError, match="params has 188 arrays, of which 187 fit"):
        features(picture, {**params, "Mixed_7c.branch_pool.bias": jnp.zeros(1)})


def correlated(count, features=6, seed=0):
    """Features with a mean far from zero and correlations."""
    rng = np.random.default_rng(seed)
    return 50 + rng.standard_normal((count, features)) @ rng.standard_normal((features, features))


def assert_same(a, b):
    assert a.count == b.count
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-13)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-10, atol=1e-12)


def test_statistics_are_those_of_numpy():
    x = correlated(20)
    expected = FeatureStatistics(20, x.mean(0), np.cov(x, rowvar=False))
    assert_same(FeatureStatistics.of(x), expected)


@pytest.mark.parametrize("cuts", [[7], [1], [19], [1, 2, 3, 11]])
def test_merged_statistics_are_those_of_the_whole(cuts):
    x = correlated(20)
    parts = map(FeatureStatistics.of, np.split(x, cuts))
    assert_same(functools.reduce(FeatureStatistics.merge, parts), FeatureStatistics.of(x))


def test_statistics_of_float32_features_are_in_float64():
    x = correlated(50).astype(np.float32) + np.float32(1e4)  # float32 would leave two digits of the covariance
    halves = [FeatureStatistics.of(part) for part in np.split(x, 2)]
    assert_same(halves[0].merge(halves[1]), FeatureStatistics.of(np.float64(x)))


def test_features_without_statistics_are_refused():
    with pytest.raises(ValueError, match=r"features has shape \(0, 4\), expected \(N, D\)"):
        FeatureStatistics.of(np.zeros((0, 4)))
    with pytest.raises(ValueError, match="features has values that are not finite"):
        FeatureStatistics.of(np.full((2, 4), np.nan))
    known = FeatureStatistics.of(correlated(4))
    with pytest.raises(ValueError, match="count is None, expected a number of pictures"):
        known.merge(known._replace(count=None))
    for operation in (known.merge, functools.partial(frechet_distance, known)):
        with pytest.raises(ValueError, match="b has 5 features, expected 6"):
            operation(FeatureStatistics.of(correlated(4, features=5)))


def gaussian(mean, covariance):
    return FeatureStatistics(100, np.asarray(mean, float), np.asarray(covariance, float))


def test_equal_gaussians_are_at_distance_zero():
    for count in (4, 200):  # singular and regular
        a = FeatureStatistics.of(correlated(count, features=30))
        scale = np.trace(a.covariance)
        assert 0 <= frechet_distance(a, a) < 1e-13 * scale


def test_the_distance_of_shifted_gaussians_is_the_square_of_the_shift():
    a = FeatureStatistics.of(correlated(50))
    shift = np.arange(6.0)
    assert frechet_distance(a, a._replace(mean=a.mean + shift)) == pytest.approx(55, rel=1e-12)


def test_the_distance_of_independent_features_is_that_of_their_deviations():
    deviations = np.array([[1.0, 2.0, 0.0, 3.0], [4.0, 0.5, 2.0, 0.0]])
    a, b = (gaussian(np.zeros(4), np.diag(d**2)) for d in deviations)
    assert frechet_distance(a, b) == pytest.approx(np.square(deviations[0] - deviations[1]).sum(), rel=1e-12)
    nothing = gaussian(np.zeros(4), np.zeros((4, 4)))
    assert frechet_distance(a, nothing) == pytest.approx(14)
    assert frechet_distance(nothing, nothing) == 0


def test_the_distance_of_rotated_scales_is_that_of_commuting_matrices():
    rotation, _ = np.linalg.qr(correlated(40, features=40))
    values = np.random.default_rng(1).uniform(0, 3, (2, 40))
    values[:, :15] = 0  # both singular in the same directions
    a, b = (gaussian(np.zeros(40), rotation * v @ rotation.T) for v in values)
    expected = np.square(np.sqrt(values[0]) - np.sqrt(values[1])).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_the_distance_is_that_of_the_matrix_square_root():
    a, b = (FeatureStatistics.of(correlated(100, features=40, seed=seed)) for seed in (1, 2))
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance)
    shift = a.mean - b.mean
    expected = shift @ shift + np.trace(a.covariance + b.covariance - 2 * root.real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_the_distance_of_singular_covariances_is_the_limit_of_regular_ones():
    a, b = (FeatureStatistics.of(correlated(8, features=30, seed=seed)) for seed in (1, 2))
    offset = 1e-12 * np.eye(30)
    distance = frechet_distance(a, b)
    assert distance == pytest.approx(frechet_distance(*(s._replace(covariance=s.covariance + offset) for s in (a, b))))
    with pytest.raises(ValueError, match="has the eigenvalue -1, expected none below 0"):
        frechet_distance(gaussian([0, 0], np.diag([-1, 2])), gaussian([0, 0], np.eye(2)))


@pytest.fixture
def small(monkeypatch):
    """Statistics of few features, where files would take megabytes."""
    monkeypatch.setattr(module, "FEATURES", 6)
    return FeatureStatistics.of(correlated(20))


def test_statistics_are_read_as_they_were_written(small, tmp_path):
    path = save_statistics(tmp_path / "new" / "a.npz", small, variant="torch-fidelity")
    loaded = load_statistics(path, variant="torch-fidelity")
    assert loaded.count == 20
    np.testing.assert_array_equal(loaded.mean, small.mean)
    np.testing.assert_array_equal(loaded.covariance, small.covariance)
    with pytest.raises(ValueError, match="was measured for variant 'torch-fidelity', expected 'pytorch-fid'; measure"):
        load_statistics(path, variant="pytorch-fid")
    with pytest.raises(FileExistsError):
        save_statistics(path, small, variant="torch-fidelity")
    with pytest.raises(ValueError, match="a.npy has suffix '.npy', expected '.npz'"):
        save_statistics(tmp_path / "a.npy", small, variant="torch-fidelity")


def test_files_go_to_pytorch_fid_and_come_from_it(small, tmp_path):
    np.savez_compressed(tmp_path / "theirs.npz", mu=small.mean, sigma=small.covariance)  # its --save-stats
    theirs = load_statistics(tmp_path / "theirs.npz", variant="pytorch-fid")
    assert_same(theirs, small._replace(count=None))
    path = save_statistics(tmp_path / "ours.npz", theirs, variant="pytorch-fid")
    package = pytest.importorskip("pytorch_fid.fid_score")
    mean, covariance = package.compute_statistics_of_path(str(path), None, 1, 2048, "cpu")
    np.testing.assert_array_equal(mean, small.mean)
    np.testing.assert_array_equal(covariance, small.covariance)


def test_files_that_hold_no_statistics_are_refused(small, tmp_path):
    mu, sigma = small.mean, small.covariance
    for name, content, message in (
        ("other", {"mean": mu}, "cannot be read as statistics of features, arrays mu and sigma"),
        ("few", {"mu": mu[:3], "sigma": sigma[:3, :3]}, r"mu \(3,\) and sigma \(3, 3\), expected those of 6 features"),
        ("nan", {"mu": mu, "sigma": sigma * np.nan}, "is damaged"),
        ("skewed", {"mu": mu, "sigma": np.triu(sigma)}, "is damaged"),
        ("objects", {"mu": np.array([None]), "sigma": sigma}, "cannot be read"),
    ):
        np.savez(tmp_path / f"{name}.npz", **content)
        with pytest.raises(ValueError, match=message):
            load_statistics(tmp_path / f"{name}.npz", variant="pytorch-fid")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "few.npz").read_bytes()[:100])
    (tmp_path / "text.npz").write_text("mu sigma")
    (tmp_path / "empty.npz").touch()
    for name in ("cut", "text", "empty"):
        with pytest.raises(ValueError, match="cannot be read as statistics"):
            load_statistics(tmp_path / f"{name}.npz", variant="pytorch-fid")
    with pytest.raises(ValueError, match="absent.npz does not exist"):
        load_statistics(tmp_path / "absent.npz", variant="pytorch-fid")


@pytest.fixture
def folder(tmp_path):
    """Three pictures of several sizes, so that the last batch is not full."""
    for i, picture in enumerate(pictures((40, 56), (64, 48), (30, 80))):
        images.save(tmp_path / "pictures" / f"{i}.png", picture)
    return tmp_path / "pictures"


few = pytest.mark.filterwarnings("ignore:FID")


@pytest.mark.slow
@few
def test_a_folder_of_mixed_sizes_is_measured(folder, params):
    measured = measure(folder, params, variant="torch-fidelity", batch_size=BATCH)
    shown = [
        prepare(images.to_uint8(images.load(path))[None], variant="torch-fidelity") for path in images.find(folder)
    ]
    features = [pooled_features(np.concatenate([shown[i] for i in order]), params) for order in ((2, 0), (1, 1))]
    expected = FeatureStatistics.of(np.concatenate([features[0], features[1][:1]]))
    assert measured.count == 3
    assert relative_error(measured.mean, expected.mean) < 1e-6
    assert relative_error(measured.covariance, expected.covariance) < 1e-5


@few
def test_a_cached_folder_is_not_measured_again_until_something_changes(folder, params, tmp_path, monkeypatch):
    calls = []

    def colours(prepared, params):
        calls.append(len(prepared))
        return prepared.mean((1, 2))

    monkeypatch.setattr(module, "pooled_features", colours)
    monkeypatch.setattr(module, "FEATURES", 3)
    cached = functools.partial(measure, params=params, batch_size=BATCH, cache=tmp_path / "cache")
    first = cached(folder)
    assert calls == [BATCH, BATCH]
    assert_same(cached(folder), first)
    folder = folder.rename(tmp_path / "moved")
    assert_same(cached(folder), first)
    assert calls == [BATCH] * 2
    cached(folder, variant="torch-fidelity")
    assert calls == [BATCH] * 4
    images.save(folder / "0.png", *pictures((40, 56), seed=1), overwrite=True)
    cached(folder)
    assert calls == [BATCH] * 6
    cached(folder, params={**params, "Conv2d_1a_3x3.bias": params["Conv2d_1a_3x3.bias"] + 1})
    assert calls == [BATCH] * 8
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "cache").iterdir())
    assert names == ["pytorch-fid"] * 3 + ["torch-fidelity"]


def test_too_few_pictures_are_told_with_the_variant(small, tmp_path):
    path = save_statistics(tmp_path / "few.npz", small._replace(count=6), variant="torch-fidelity")
    with pytest.warns(
        UserWarning, match="FID .torch-fidelity.: .* has 6 pictures, expected more than the 6 features: the "
    ):
        measure(path, None, variant="torch-fidelity")


def test_enough_pictures_are_told_nothing(small, tmp_path, recwarn):
    measure(save_statistics(tmp_path / "enough.npz", small, variant="pytorch-fid"), None)
    assert not recwarn.list


def test_folders_that_cannot_be_measured_are_refused(params, tmp_path):
    (tmp_path / "empty").mkdir()
    images.save(tmp_path / "one" / "0.png", *pictures((9, 9)))
    (tmp_path / "broken").mkdir()
    for i in range(2):
        (tmp_path / "broken" / f"{i}.png").write_text("no picture")
    for name, message in (
        ("absent", "is no folder"),
        ("empty", "holds no picture"),
        ("one", "holds 1 picture, expected at least 2"),
        ("broken", "0.png cannot be read as a picture"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(tmp_path / name, params)
    with pytest.raises(ValueError, match="params is None; give the weights of load_inception"):
        measure(tmp_path / "one", None)
    with pytest.raises(ValueError, match="batch_size is 0, expected at least 1"):
        measure(tmp_path / "one", params, batch_size=0)
    with pytest.raises(ValueError, match="variant is 'fid', expected one of"):
        measure(tmp_path / "one", params, variant="fid")


@pytest.mark.slow
@few
def test_the_distance_of_two_folders_is_that_of_torch_fidelity(folder, params, checkpoint, tmp_path, monkeypatch):
    package = pytest.importorskip("torch_fidelity.metric_fid")
    import torch

    for i, picture in enumerate(pictures((50, 50), (60, 48), (30, 80), seed=1)):
        images.save(tmp_path / "others" / f"{i}.png", picture)
    features_of, statistics = of_torch_fidelity(checkpoint, monkeypatch), []
    for pictures_of in (folder, tmp_path / "others"):
        features = [features_of(images.to_uint8(images.load(path))) for path in images.find(pictures_of)]
        statistics.append(package.fid_features_to_statistics(torch.from_numpy(np.concatenate(features))))
    expected = package.fid_statistics_to_metric(*statistics, verbose=False)[package.KEY_METRIC_FID]
    distance = module.fid(folder, tmp_path / "others", params, variant="torch-fidelity", batch_size=BATCH)
    assert distance == pytest.approx(expected, rel=1e-4)  # its eigenvalues of a singular product carry so much rounding
    assert module.fid(folder, folder, params, batch_size=BATCH) < 1e-9


def convert(source, out, fails=None):
    result = CliRunner().invoke(command, ["inception", str(source), "--out", str(out)])
    if fails is None:
        assert result.exception is None, result.exception
        return result.output
    assert isinstance(result.exception, ConversionError), result.exception
    assert fails in str(result.exception)
    assert not pathlib.Path(out).exists()
    return ""


@pytest.mark.slow
def test_the_file_of_a_package_is_converted(params, checkpoint, tmp_path):
    printed = convert(checkpoint, tmp_path / "inception")
    assert "pytorch-fid" in printed
    assert "torch-fidelity" in printed
    assert "21,768,352 parameters" in printed
    loaded = load_inception(tmp_path / "inception")
    assert set(loaded) == set(inception_shapes())
    for name, value in params.items():
        np.testing.assert_array_equal(loaded[name], value)
    header = json.loads((tmp_path / "inception" / "inception.json").read_text())
    assert header["format"] == "jaxrestore-inception"
    assert header["info"] == {"converted_from": "weights.pth"}


def test_files_of_before_pytorch_1_6_are_converted(state, params, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    tensors |= {f"{name[:-12]}num_batches_tracked": torch.tensor(0) for name in state if name.endswith(".running_mean")}
    tensors["AuxLogits.fc.weight"] = torch.zeros(2, 2)
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    state = reading.read_state(tmp_path / "old.pth")
    for name, value in conversion.convert(state).items():
        np.testing.assert_array_equal(value, params[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Mixed_5b.branch1x1.conv.weight": None}, "missing Mixed_5b.branch1x1.conv.weight"),
        ({"Mixed_7c.branch_pool.bn.running_var": None}, "missing Mixed_7c.branch_pool.bn.running_var"),
        ({"Conv2d_1a_3x3.conv.weight": None}, "this is no Inception network: it lacks Conv2d_1a_3x3.conv.weight"),
        ({"Mixed_8a.conv.weight": np.ones(3)}, "unexpected Mixed_8a.conv.weight"),
        ({"Mixed_6a.branch3x3.conv.weight": np.ones((384, 288, 5, 5))}, "does not fit Mixed_6a.branch3x3.kernel"),
        ({"Mixed_6a.branch3x3.bn.weight": np.ones(1)}, "does not fit Mixed_6a.branch3x3.kernel (3, 3, 288, 384)"),
        ({"Mixed_6a.branch3x3.bn.running_mean": np.ones(1)}, "does not fit Mixed_6a.branch3x3.bias (384,)"),
        ({"Mixed_6a.branch3x3.bn.bias": np.full(384, np.nan)}, "has values that are not finite"),
        ({"Mixed_6a.branch3x3.bn.running_var": np.full(384, -1.0)}, "has values that are not finite"),
        ({"Mixed_6a.branch3x3.bn.bias": np.ones(384, int)}, "expected real numbers with fractions"),
        (
            {"fc.weight": np.ones((1000, 2048))},
            "fc.weight has shape (1000, 2048), expected 1008 rows: this is not the n",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(state, change, message):
    changed = {name: value for name, value in {**state, **change}.items() if value is not None}
    with pytest.raises(ConversionError, match=re.escape(message)):
        conversion.convert(changed)


def test_a_file_of_another_network_leaves_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"conv.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    convert(tmp_path / "other.pth", tmp_path / "out", fails="this is no Inception network")


def run_benchmark(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["fid", *map(str, words)])
    benchmark.main()


def test_the_command_prints_the_figure_with_its_variant(small, tmp_path, monkeypatch, capsys):
    shifted = small._replace(mean=small.mean + 2)
    files = [
        save_statistics(tmp_path / f"{name}.npz", statistics, variant="torch-fidelity")
        for name, statistics in (("a", small), ("b", shifted))
    ]
    out = tmp_path / "fid.json"
    run_benchmark(monkeypatch, *files, "--variant", "torch-fidelity")
    assert capsys.readouterr().out == "FID (torch-fidelity) 24.0000\n"
    assert sorted(tmp_path.iterdir()) == files
    run_benchmark(monkeypatch, *files, "--variant", "torch-fidelity", "--out", out)
    report = json.loads(out.read_text())
    assert report["fid"] == pytest.approx(24)
    assert (report["variant"], report["sources"]) == ("torch-fidelity", ["a.npz", "b.npz"])
    assert (report["pictures"], report["weights"]) == ([20, 20], None)
    assert report["environment"]["device"]


def test_the_command_asks_for_weights_where_pictures_are_to_be_measured(folder, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_benchmark(monkeypatch, folder, folder)
    assert "give --weights: a folder of pictures is to be measured" in capsys.readouterr().err
