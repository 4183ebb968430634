import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic, smallest_network

from jaxrestore import images, training
from jaxrestore.priors import UNetConfig
from jaxrestore.training import TrainingConfig

CONFIG = TrainingConfig(
    network=UNetConfig(model_channels=32, channel_mult=(1,), num_res_blocks=1, patch_size=2),
    num_steps=30,
    batch_size=8,
    crop_size=8,
    scales=(1.0, 0.5),
    warmup_steps=5,
    decay_steps=5,
    learning_rate=3e-3,
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Smooth pictures, so that there is something to learn."""
    folder = tmp_path_factory.mktemp("photographs")
    ramp = np.linspace(-1, 1, 40, dtype=np.float32)
    images.save(folder / "a.png", np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 0.0 * ramp[None]), -1))
    images.save(folder / "b.png", np.full((32, 24, 3), 0.5, np.float32))
    return folder


@pytest.mark.slow
def test_training_learns_to_denoise(photographs, tmp_path):
    reports = []
    config = dataclasses.replace(CONFIG, num_steps=150)
    prior = training.train(photographs, tmp_path / "run", config, report=reports.append, report_every=50)
    assert [r.step for r in reports] == [50, 100, 150]
    assert reports[-1].loss < 0.75 * reports[0].loss
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 3
    errors = training.validate(prior, photographs, size=16)
    assert errors["0.5"] < 0.35  # the noise itself would leave 0.5


@pytest.mark.slow
@pytest.mark.parametrize("parametrization", ["edm", "vp"])
def test_a_run_in_two_sessions_equals_one(photographs, tmp_path, parametrization):
    config = dataclasses.replace(CONFIG, parametrization=parametrization, num_steps=14)
    whole = training.train(photographs, tmp_path / "whole", config)

    # The first session ends early by its time, as a kill would end it; its learning rate is that of the long run.
    class Stop(Exception):
        pass

    def report(progress):
        if progress.step == 8:
            raise Stop

    with pytest.raises(Stop):
        training.train(photographs, tmp_path / "two", config, report=report, report_every=4, checkpoint_seconds=0.0)
    pieces = training.train(photographs, tmp_path / "two", config)
    for name, a in whole.params.items():
        np.testing.assert_allclose(pieces.params[name], a, atol=1e-6)


@pytest.mark.slow
def test_a_run_of_another_network_is_not_touched(photographs, tmp_path):
    short = dataclasses.replace(CONFIG, num_steps=2)
    training.train(photographs, tmp_path / "run", short)
    other = dataclasses.replace(short, network=dataclasses.replace(short.network, model_channels=64))
    with pytest.raises(ValueError, match="another network: model_channels is 64, expected 32; choose"):
        training.train(photographs, tmp_path / "run", other)


@pytest.mark.slow
def test_a_run_can_start_from_a_prior_which_stays_as_it_was(photographs, tmp_path):
    first = training.train(photographs, tmp_path / "a", dataclasses.replace(CONFIG, num_steps=5, ema_decay=0.0))
    before = {name: np.array(a) for name, a in first.params.items()}
    config = dataclasses.replace(CONFIG, num_steps=1, learning_rate=1e-9)
    again = training.train(photographs, tmp_path / "b", config, start=first)
    for name, a in before.items():
        np.testing.assert_array_equal(first.params[name], a)
        np.testing.assert_allclose(again.params[name], a, atol=1e-6)
    with pytest.raises(ValueError, match="start has parametrization 'edm', expected 'vp'"):
        training.train(photographs, tmp_path / "c", dataclasses.replace(config, parametrization="vp"), start=first)


@pytest.mark.parametrize("setting", ["max_seconds", "checkpoint_seconds"])
@pytest.mark.parametrize("seconds", [float("nan"), -1.0])
def test_times_that_are_none_are_refused(photographs, tmp_path, setting, seconds):
    with pytest.raises(ValueError, match=f"{setting} is {seconds}, expected a number from 0"):
        training.train(photographs, tmp_path / "run", CONFIG, **{setting: seconds})
    assert not (tmp_path / "run").exists()


def test_time_ends_a_run_with_a_checkpoint(photographs, tmp_path):
    training.train(photographs, tmp_path / "run", dataclasses.replace(CONFIG, num_steps=10**6), max_seconds=0.5)
    assert json.loads((tmp_path / "run" / "network.json").read_text())["parametrization"] == "edm"


def test_batches_depend_on_seed_and_step_only(photographs):
    crops = training.Photographs(photographs, crop_size=8, scales=(1.0, 0.5))
    np.testing.assert_array_equal(crops.batch(0, 3, 4), crops.batch(0, 3, 4))
    assert not np.array_equal(crops.batch(0, 3, 4), crops.batch(0, 4, 4))
    assert not np.array_equal(crops.batch(0, 3, 4), crops.batch(1, 3, 4))


@pytest.mark.parametrize("sampling", ["lognormal", "uniform"])
def test_noise_levels_follow_their_distribution(sampling):
    config = dataclasses.replace(CONFIG, batch_size=4096, sigma_sampling=sampling)
    log_sigma = np.log(training.sample_sigmas(jax.random.key(0), config))
    if sampling == "lognormal":
        np.testing.assert_allclose(
            [log_sigma.mean(), log_sigma.std()], [config.sigma_mean, config.sigma_std], rtol=0.05
        )
    else:
        edges = np.log([config.sigma_min, config.sigma_max])
        np.testing.assert_allclose(np.quantile(log_sigma, [0, 0.5, 1]), [edges[0], edges.mean(), edges[1]], atol=0.01)


def test_the_loss_of_a_network_that_returns_zero_is_known():
    """EDM: F = 0 leaves the target c_skip-corrected signal, whose weighted power is 1 for data of variance 0.25."""
    config = dataclasses.replace(CONFIG, batch_size=64)
    params = training.init_state(config).params
    clean = 0.5 * jax.random.normal(jax.random.key(0), (64, 8, 8, 3))
    loss = jax.jit(training.denoising_loss, static_argnums=3)(params, jax.random.key(1), clean, config)
    assert abs(float(loss) - 1.0) < 0.05


def test_learning_rate_rises_holds_and_falls():
    config = dataclasses.replace(CONFIG, num_steps=100, warmup_steps=10, decay_steps=20, learning_rate=1.0)
    rates = [training.learning_rate(s, config) for s in (0, 4, 9, 50, 80, 90, 100)]
    np.testing.assert_allclose(rates, [0.1, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0])


def test_a_loss_that_is_not_finite_stops_the_run(photographs, tmp_path):
    config = dataclasses.replace(CONFIG, learning_rate=1e30, clip_norm=1e30, warmup_steps=0)
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        training.train(photographs, tmp_path / "run", config, report_every=5)


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
def test_a_state_that_is_not_finite_is_never_saved(photographs, tmp_path, checkpoint_seconds):
    """Neither between two reports nor at the end of the time, which both come before the loss is looked at."""
    run, finite = tmp_path / "run", dataclasses.replace(CONFIG, num_steps=2)
    training.train(photographs, run, finite)
    broken = dataclasses.replace(CONFIG, num_steps=6, learning_rate=1e30, clip_norm=1e30, warmup_steps=0, decay_steps=0)
    with pytest.raises(FloatingPointError, match="lower learning_rate and resume"):
        training.train(photographs, run, broken, report_every=100, checkpoint_seconds=checkpoint_seconds)
    again = training.train(photographs, run, dataclasses.replace(CONFIG, num_steps=3))
    assert all(np.isfinite(a).all() for a in again.params.values())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop_size": 9}, "crop_size is 9, expected a multiple of the stride 2"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"sigma_sampling": "cosine"}, "sigma_sampling is 'cosine'"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"parametrization": "ve"}, "parametrization is 've', expected one of 'vp', 'edm'"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_max is 1.0, expected at least sigma_min, 2.0"),
        ({"scales": ()}, "scales is empty"),
        ({"scales": (1.0, 0.0)}, "a scale is 0.0"),
        ({"network": UNetConfig(in_channels=1)}, "the network takes 1 channels"),
        ({"network": UNetConfig(out_channels=1)}, "the network gives 1 channels"),
        ({"network": UNetConfig(num_classes=10)}, "the network knows 10 classes"),
    ],
)
def test_bad_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **fields)


def test_reports_after_no_step_are_refused_before_the_first(photographs, tmp_path):
    with pytest.raises(ValueError, match="report_every is 0, expected at least 1"):
        training.train(photographs, tmp_path / "run", CONFIG, report_every=0)
    assert not (tmp_path / "run").exists()


def test_photographs_smaller_than_a_crop_are_refused(tmp_path):
    images.save(tmp_path / "tiny.png", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(images.ImageError, match="no picture of at least 8x8"):
        training.Photographs(tmp_path, crop_size=8, scales=(1.0,))


@pytest.mark.parametrize(
    ("parametrization", "noise_schedule", "message"),
    [("edm", "linear", "model_channels is 32, expected 64"), ("vp", "cosine", "noise schedule 'cosine'")],
)
def test_a_start_whose_weights_would_mean_something_else_is_refused(tmp_path, parametrization, noise_schedule, message):
    start = dataclasses.replace(smallest_network(), parametrization=parametrization, noise_schedule=noise_schedule)
    network = start.config if parametrization == "vp" else dataclasses.replace(start.config, model_channels=64)
    config = dataclasses.replace(CONFIG, network=network, parametrization=parametrization)
    with pytest.raises(ValueError, match=message):
        training.train(tmp_path, tmp_path / "run", config, start=start)


def test_validation_is_exact_for_a_denoiser_that_is_known(photographs):
    """A prior that returns its input has an error of sigma."""
    prior = isotropic((16, 16, 3), variance=1e12)
    errors = training.validate(prior, photographs, size=16)
    np.testing.assert_allclose([errors["0.1"], errors["2"]], [0.1, 2.0], rtol=0.05)
    assert jnp.isfinite(jnp.array(list(errors.values()))).all()
