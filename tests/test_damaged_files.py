"""Damaged, edited and absurd files: one error that names the file and the mend, before anything is built."""

import json
import time

import numpy as np
import pytest
from conftest import smallest_network

import jaxrestore as jr
from jaxrestore import tuning
from jaxrestore.cli import _files
from jaxrestore.priors.checkpoint import PriorError, bundled_priors
from jaxrestore.storage import arrays, weights
from jaxrestore.tasks import TASKS


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return jr.save_prior(tmp_path_factory.mktemp("priors") / "tiny", smallest_network(), info={"note": "old"})


@pytest.fixture
def edit(prior):
    """Change the description, with or without its checksum, until the test is over."""
    file = prior / "prior.json"
    text = file.read_text()

    def edit(*, checked=True, **changes):
        header = json.loads(text)
        for name, value in changes.items():
            place = header["config"] if name in header["config"] else header
            place[name] = value
        if not checked:
            del header["description_sha256"]
        file.write_text(json.dumps(header))
        return prior

    yield edit
    file.write_text(text)


@pytest.mark.parametrize(
    "change",
    [{"norm_eps": 1e-6}, {"timestep_scale": 2.0}, {"parametrization": "vp"}, {"noise_schedule": "cosine"}],
    ids=lambda change: next(iter(change)),
)
def test_values_that_no_shape_tells_of_are_covered_by_a_checksum(edit, change):
    with pytest.raises(PriorError, match=r"prior\.json is damaged or was edited.*copy or convert it again"):
        jr.load_prior(edit(**change))


def test_notes_may_be_edited_and_order_does_not_count(edit, prior):
    jr.load_prior(edit(info={"note": "new"}))
    header = json.loads((prior / "prior.json").read_text())
    (prior / "prior.json").write_text(json.dumps(dict(reversed(header.items()))))
    jr.load_prior(prior)


def test_folders_of_the_first_release_have_no_such_checksum_and_load(edit):
    assert jr.load_prior(edit(checked=False)).parametrization == "edm"


@pytest.mark.parametrize("name", bundled_priors())
def test_bundled_priors_verify(name):
    assert jr.load_prior(name).params


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_res_blocks": 10_000}, "num_res_blocks is 10000, which makes 20003 residual blocks"),
        ({"channel_mult": [1] * 100_000}, "channel_mult has 100000 entries"),
        ({"channel_mult": [float("inf")]}, "infinity"),
        ({"channel_mult": 3}, "has no len"),
        ({"num_res_blocks": "2"}, "prior.json describes nothing"),
        ({"model_channels": 10**30}, "prior"),
        ({"model_channels": 64}, "do not fit its configuration"),
        ({"patch_size": 10**6}, "do not fit its configuration"),
        ({"config": [1]}, "prior.json describes nothing"),
        ({"config": {"colour": 1}}, "prior.json describes nothing"),
        ({"parametrization": 5}, "parametrization is 5"),
    ],
)
def test_configurations_that_nothing_fits_are_refused_at_once(edit, change, message):
    path, started = edit(checked=False, **change), time.monotonic()
    with pytest.raises(PriorError, match=message):
        jr.load_prior(path)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\xff", "[" * 100_000])
def test_descriptions_that_are_none_name_the_file(tmp_path, text):
    (tmp_path / "prior.json").write_bytes(text.encode("latin1"))
    with pytest.raises(PriorError, match=r"prior\.json is no prior description .*copy or convert it again"):
        jr.load_prior(tmp_path)


def test_shapes_are_compared_before_arrays_are_allocated(prior, monkeypatch):
    stored = weights.stored_shapes(prior)
    name = next(iter(stored))
    huge = {**stored, name: np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**20, 2**20), (0, 0))}
    monkeypatch.setattr(weights, "stored_shapes", lambda path, error: huge)
    with pytest.raises(weights.WeightsError, match=rf"{name} has shape \(1048576, 1048576\)"):
        weights.read_params(prior, {"sha256": ""}, stored)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 10**9}, "num_steps is 1000000000, expected at most 1000000"),
        ({"num_steps": "many"}, "num_steps is 'many', expected a Python integer"),
        ({"num_steps": 5.5}, "expected a Python integer"),
        ({"learning_rate": "fast"}, "best.json holds no settings of spgd"),
        ({"learning_rate": [1.0, 2.0]}, "neither a number nor a name"),
        ({"learning_rate": float("nan")}, "expected a finite number"),
        ({"speed": 1}, "has no setting speed"),
        ([1], "best.json holds no settings of spgd"),
        (None, "best.json holds no settings of spgd"),
    ],
)
def test_settings_that_a_method_cannot_take_name_the_file(tmp_path, settings, message):
    file = tmp_path / "best.json"
    file.write_text(
        json.dumps({"kind": "jaxrestore settings", "task": "denoising", "method": "spgd", "settings": settings})
    )
    with pytest.raises(ValueError, match=message) as error:
        tuning.load_settings(file, "denoising", "spgd")
    assert "best.json" in str(error.value)


def test_walks_that_return_a_billion_times_are_refused():
    with pytest.raises(ValueError, match="num_steps times repeats is 5"):
        jr.repaint(num_steps=50, jump_repeats=10**8)


def header_of(shape, dtype="<f4"):
    """A `.npy` file of 4 values whose header says something else."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + np.zeros(4, np.float32).tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an array"),
        (b"text", r"\(it is no .npy file, or holds Python objects\); write"),
        (b"\x93NUMPY\x01\x00\x76\x00{'descr'", "cannot be read as an array"),
        (header_of("(1000000, 1000000, 3)"), "cannot be read as an array"),
        (header_of("(2, 2, -1)"), "cannot be read as an array"),
        (header_of("(2, 2, 2, 2, 2)"), "cannot be read as an array"),
        (header_of("(((((("), "cannot be read as an array"),
        (b"\x93NUMPY\x09\x00" + b"x" * 200, "cannot be read as an array"),
        (np.zeros((2, 2, 3), np.complex64), "holds complex64"),
        (np.zeros((2, 2, 3), bool), "holds bool"),
        (np.zeros((2, 2, 3), [("a", "f4")]), r"holds \[\('a'"),
        (np.array("text"), "holds <U4"),
        (np.zeros((2, 2), np.float32), r"of shape \(2, 2\), expected numbers \(real or whole\) with 3 axes"),
        (np.zeros((0, 2, 3), np.float32), r"of shape \(0, 2, 3\)"),
        (np.full((2, 2, 3), np.nan), "values that are not finite"),
        (np.full((2, 2, 3), 1e300), "values that are not finite in float32"),
    ],
)
def test_arrays_that_are_no_measurement_name_the_file(tmp_path, content, message):
    file = tmp_path / "y.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content)
    with pytest.raises(ValueError, match=message) as error:
        _files.read_measurement(file, TASKS["denoising"])
    assert str(error.value).startswith(str(file))


def test_arrays_that_are_measurements_are_read(tmp_path):
    for dtype in (np.float16, np.float64, np.uint8, np.int32):
        y = np.arange(12).reshape(2, 2, 3).astype(dtype)
        np.save(tmp_path / "y.npy", np.asfortranarray(y))
        found, like = _files.read_measurement(tmp_path / "y.npy", TASKS["denoising"])
        assert like is None
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, y)
    np.savez(tmp_path / "several", y=y)
    with pytest.raises(arrays.ArrayError, match="holds several arrays"):
        arrays.read(tmp_path / "several.npz")


def test_a_checkpoint_without_checksums_says_so(tmp_path):
    torch = pytest.importorskip("torch")
    from convert_weights.reading import read_state

    file = tmp_path / "old.pt"
    torch.save({"a.weight": torch.ones(3, 3)}, file, _use_new_zipfile_serialization=False)
    with pytest.warns(UserWarning, match="carry no checksums: damage inside of it cannot be told; its SHA-256 is"):
        assert read_state(file)["a.weight"].shape == (3, 3)
