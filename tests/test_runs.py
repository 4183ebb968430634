"""Training runs go on: after signals, kills, damaged checkpoints and full disks."""

import dataclasses
import json
import signal

import jax
import numpy as np
import pytest

from jaxrestore import images, runs, stopping, training
from jaxrestore.priors import UNetConfig
from jaxrestore.training import TrainingConfig

CONFIG = TrainingConfig(
    network=UNetConfig(model_channels=32, channel_mult=(1,), num_res_blocks=1, patch_size=2),
    num_steps=6,
    batch_size=2,
    crop_size=8,
    scales=(1.0,),
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    images.save(folder / "a.png", np.asarray(jax.random.uniform(jax.random.key(0), (16, 16, 3), minval=-1)))
    return folder


@pytest.fixture(scope="module")
def undisturbed(photographs, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    return training.train(photographs, run, CONFIG), run


def same(a, b):
    return all(np.array_equal(a.params[name], value) for name, value in b.params.items())


def checkpoints(run):
    return sorted(int(p.name) for p in (run / "checkpoints").iterdir() if p.name.isdigit())


@pytest.mark.slow
def test_a_signal_saves_a_checkpoint_from_which_the_run_goes_on(photographs, tmp_path, undisturbed, monkeypatch):
    asked = []

    def requested():
        asked.append(None)
        return signal.SIGTERM if len(asked) > 3 else None

    with monkeypatch.context() as patch:
        patch.setattr(stopping, "requested", requested)
        with pytest.raises(stopping.Stopped) as stopped:
            training.train(photographs, tmp_path / "run", CONFIG)
    assert stopped.value.number == signal.SIGTERM
    assert checkpoints(tmp_path / "run") == [3]
    assert same(training.train(photographs, tmp_path / "run", CONFIG), undisturbed[0])


@pytest.mark.slow
def test_a_finished_run_gives_its_prior_again(photographs, undisturbed):
    prior, run = undisturbed
    assert same(training.train(photographs, run, CONFIG), prior)


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [1, 2], ids=["the newest", "both"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(photographs, tmp_path, damaged):
    run = tmp_path / "run"
    for num_steps in (2, 4):
        training.train(photographs, run, dataclasses.replace(CONFIG, num_steps=num_steps, decay_steps=0))
    assert checkpoints(run) == [2, 4]
    for step in (4, 2)[:damaged]:
        for file in (run / "checkpoints" / str(step)).rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    config = dataclasses.replace(CONFIG, decay_steps=0)
    if damaged == 2:
        with pytest.raises(ValueError, match="none of the checkpoints in .* can be read .*remove the folder"):
            training.train(photographs, run, config)
        return
    with pytest.warns(UserWarning, match="the checkpoint of step 4 is damaged .* going on from step 2"):
        prior = training.train(photographs, run, config)
    assert checkpoints(run) == [2, 6]
    assert all(np.isfinite(a).all() for a in prior.params.values())


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"id": "a", "network": {"model_channels": "many"}}', '{"id": 1}'])
def test_a_damaged_description_is_one_error_that_names_the_file(tmp_path, text):
    (tmp_path / "network.json").write_text(text)
    with pytest.raises(ValueError, match=r"network\.json is damaged \(.*remove the file"):
        runs.claim(tmp_path, CONFIG.network, "edm")


def test_a_run_of_an_earlier_release_is_given_an_identity(tmp_path):
    described = {"network": dataclasses.asdict(CONFIG.network), "parametrization": "edm"}
    (tmp_path / "network.json").write_text(json.dumps(described))
    assert runs.run_id(tmp_path) is None
    runs.claim(tmp_path, CONFIG.network, "edm")
    identity = runs.run_id(tmp_path)
    assert identity
    runs.claim(tmp_path, CONFIG.network, "edm")
    assert runs.run_id(tmp_path) == identity
    runs.claim(tmp_path / "another", CONFIG.network, "edm")
    assert runs.run_id(tmp_path / "another") != identity


def test_a_description_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"network\.json needs \d+ bytes"):
        runs.claim(tmp_path / "run", CONFIG.network, "edm")
    assert not list((tmp_path / "run").iterdir())


def test_a_line_that_a_kill_has_cut_stays_alone(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"st')
    runs.Log(tmp_path / "log.jsonl").write({"step": 2})
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1}\n{"st\n{"step": 2}\n'


def test_a_checkpoint_that_cannot_be_written_is_one_error(tmp_path):
    class Full:
        directory = tmp_path

        def save(self, step, args):
            raise RuntimeError("RESOURCE_EXHAUSTED: disk\nmore")

    with pytest.raises(OSError, match=r"checkpoint of step 3 cannot be written .*RESOURCE_EXHAUSTED: disk\); the one"):
        runs.save(Full(), 3, {"a": np.zeros(1)})
