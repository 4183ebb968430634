"""The PyTorch twin computes what the library computes, trains as the library does, and gives priors that it loads."""

import dataclasses
import functools
import json
import os
import signal
import sys

import click
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import network, randomised, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxrestore as jr
from convert_weights.arrays import ConversionError
from convert_weights.train_twin import command
from jaxrestore import images, training
from jaxrestore.priors import NetworkPrior, UNetConfig
from jaxrestore.priors.network import denoise_batch
from jaxrestore.training import TrainingConfig

torch = pytest.importorskip("torch")

from convert_weights import train_twin, twin, twin_run  # noqa: E402

SMALL = UNetConfig(
    model_channels=32, channel_mult=(1,), num_res_blocks=1, patch_size=2, resblock_updown=False, conv_resample=False
)
CONFIG = TrainingConfig(
    network=SMALL, batch_size=4, crop_size=8, scales=(1.0,), warmup_steps=1, learning_rate=1e-3, seed=3
)
SESSION = twin_run.Session(minutes=10.0)
DECAYS = (0.5, 0.9)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other take long where other processes are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A small and a large picture."""
    folder = tmp_path_factory.mktemp("photographs")
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 12, 12, 3)).astype(np.float32)
    images.save(folder / "large.png", images.resize(noise[0], (48, 48)))
    images.save(folder / "small.png", noise[1])
    return folder


def twin_of(config: UNetConfig, params) -> twin.TwinUNet:
    made = twin.TwinUNet(config)
    made.load_state_dict(twin.from_params(params))
    return made


def gradients(made: twin.TwinUNet) -> dict:
    """Of the parameters, under the library's names; where there is none, zeros, as the library has."""
    named = {
        name: torch.zeros_like(p) if p.grad is None else p.grad.contiguous() for name, p in made.named_parameters()
    }
    return twin.to_params(made.config, named)


def train(photographs, folder, config=CONFIG, *, steps, session=SESSION, decays=DECAYS, **options):
    """A session of so many steps."""
    left = iter(range(steps))
    return twin_run.train(
        photographs, folder, config, session, decays=decays, is_stopped=lambda: next(left, None) is None, **options
    )


configs = st.builds(
    UNetConfig,
    model_channels=st.just(32),
    channel_mult=st.sampled_from([(1, 2), (2, 1), (1, 1, 2)]),
    num_res_blocks=st.integers(1, 2),
    patch_size=st.integers(1, 2),
    resblock_updown=st.booleans(),
    conv_resample=st.booleans(),
    downsample_padding=st.sampled_from(["both", "end"]),
    scale_shift_norm=st.booleans(),
    frequency_shift=st.integers(0, 1),
)


@pytest.mark.slow
@settings(max_examples=4)
@given(configs)
def test_denoiser_and_gradients_of_any_configuration_are_those_of_the_library(config):
    assert_twins(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(dataclasses.replace(SMALL, channel_mult=(1, 2), resblock_updown=True), marks=pytest.mark.slow),
        dataclasses.replace(
            SMALL,
            channel_mult=(2, 1),
            patch_size=1,
            conv_resample=True,
            downsample_padding="end",
            scale_shift_norm=False,
            frequency_shift=1,
        ),
    ],
    ids=["updown", "convolutions"],
)
def test_denoiser_and_gradients_are_those_of_the_library(config):
    assert_twins(config)


def assert_twins(config):
    """To 1e-5: what rounding leaves of a few dozen layers in float32 is about 2e-6.

    The pictures leave the coarsest level a dozen pixels: norms over two would magnify the rounding.
    """
    rng = np.random.default_rng(0)
    params = randomised(config)
    x, pull = (rng.standard_normal((2, 32, 24, 3)).astype(np.float32) for _ in range(2))
    sigma = np.array([0.3, 4.0], np.float32)

    @jax.jit
    def reference(params, x):
        def pulled(params, x):
            denoised = denoise_batch(config, "edm", params, x, sigma)
            return jnp.vdot(denoised, pull), denoised

        return jax.grad(pulled, argnums=(0, 1), has_aux=True)(params, x)

    (of_params, of_x), denoised = reference(params, x)
    made, image = twin_of(config, params), torch.from_numpy(x).requires_grad_()
    answer = twin.denoise(made, image, torch.from_numpy(sigma))
    (answer * torch.from_numpy(pull)).sum().backward()
    assert relative_error(answer.detach(), denoised) < 1e-5
    assert relative_error(image.grad, of_x) < 1e-5
    of_twin = gradients(made)
    assert set(of_twin) == set(of_params)
    assert (
        relative_error(*(np.concatenate([g[n].ravel() for n in sorted(of_twin)]) for g in (of_twin, of_params))) < 1e-5
    )
    for name, value in twin.to_params(config, made.state_dict()).items():
        np.testing.assert_array_equal(value, params[name])


def test_the_loss_is_that_of_training_for_the_same_crops_levels_and_noise(photographs):
    params = randomised(SMALL)
    crops = training.Photographs(photographs, crop_size=8, scales=(1.0,))
    made, step = twin_of(SMALL, params), 7
    clean, sigma, noise = twin_run.make_batch(crops, CONFIG, step)
    loss = twin.denoising_loss(made, clean, sigma, noise)
    loss.backward()
    key = jax.random.fold_in(jax.random.key(CONFIG.seed + 1), step)  # as `make_train_step` has it
    reference = jax.jit(jax.value_and_grad(training.denoising_loss), static_argnums=3)
    expected, expected_gradients = reference(params, key, jnp.asarray(clean.numpy()), CONFIG)
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)
    for name, gradient in gradients(made).items():
        np.testing.assert_allclose(gradient, expected_gradients[name], atol=1e-5 * np.abs(gradient).max() + 1e-6)


@pytest.mark.slow
def test_steps_and_averages_follow_those_of_the_library(photographs):
    """Biases are left out: before a norm they have no effect, and Adam makes steps of their gradients' rounding."""
    config = dataclasses.replace(CONFIG, ema_decay=0.9)
    crops = training.Photographs(photographs, crop_size=8, scales=(1.0,))
    run = twin_run.init_run(config, (0.9,))
    state, step = training.init_state(config), training.make_train_step(config)
    for i in range(4):
        loss = twin_run.update(run, run.network, twin_run.make_batch(crops, config, i), 1e-3, config.clip_norm)
        state, expected = step(state, crops.batch(config.seed, i, config.batch_size), 1e-3)
        assert loss == pytest.approx(float(expected), rel=1e-4)
    average = twin.to_params(SMALL, run.averages[0.9])
    assert all(relative_error(average[name], a) < 1e-3 for name, a in state.ema.items() if a.ndim > 1)


def test_bfloat16_is_for_convolutions_and_leaves_the_parameters_as_they_are():
    params = randomised(SMALL)
    x, sigma = torch.randn(1, 16, 16, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5])
    exact = twin.denoise(twin_of(SMALL, params), x, sigma)
    half = twin_of(dataclasses.replace(SMALL, dtype="bfloat16"), params)
    rounded = twin.denoise(half, x, sigma)
    assert rounded.dtype == torch.float32
    assert 1e-5 < relative_error(rounded.detach(), exact.detach()) < 3e-2  # bfloat16 has three digits
    assert all(p.dtype == torch.float32 for p in half.parameters())


def test_two_sessions_equal_one(photographs, tmp_path):
    whole = train(photographs, tmp_path / "whole", steps=5)
    train(photographs, tmp_path / "two", steps=3)
    pieces = train(photographs, tmp_path / "two", steps=2)
    assert (pieces.step, pieces.rate) == (whole.step, whole.rate) == (5, CONFIG.learning_rate)
    assert [(s["first_step"], s["last_step"]) for s in pieces.sessions] == [(0, 3), (3, 5)]
    assert {int(state["step"]) for state in pieces.optimizer.state.values()} == {5}
    states = [(run.network.state_dict(), *run.averages.values()) for run in (pieces, whole)]
    for piece, one in zip(*states, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(piece[name], value, atol=1e-6)
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["last.pt", "log.jsonl"]


def test_settings_are_those_of_the_session(photographs, tmp_path):
    train(photographs, tmp_path, steps=1)
    other = dataclasses.replace(CONFIG, weight_decay=0.5, learning_rate=1e-5)
    run = train(photographs, tmp_path, other, steps=1)
    assert [(g["weight_decay"], g["lr"]) for g in run.optimizer.param_groups] == [(0.5, 1e-5), (0.0, 1e-5)]
    assert [s["weight_decay"] for s in run.sessions] == [CONFIG.weight_decay, 0.5]


def test_reports_are_logged(photographs, tmp_path):
    reports = []
    train(photographs, tmp_path, steps=4, report=reports.append, report_every=2)
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r.step for r in reports] == [line["step"] for line in logged] == [2, 4]
    assert all(np.isfinite(r.loss) and r.images_per_second > 0 for r in reports)


def test_learning_rate_rises_holds_and_falls_with_the_time():
    config = dataclasses.replace(CONFIG, warmup_steps=4, learning_rate=1.0)
    session = twin_run.Session(minutes=10.0, decay_minutes=2.0)
    rates = [0.0]
    for _ in range(5):
        rates.append(twin_run.learning_rate(rates[-1], 9.0, config, session))
    assert rates == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert [twin_run.learning_rate(1.0, left, config, session) for left in (2.0, 1.0, 0.0)] == [1.0, 0.5, 0.0]
    assert twin_run.learning_rate(1.0, 1.0, config, twin_run.Session(minutes=10.0)) == 1.0


def test_what_is_not_finite_is_neither_gone_on_with_nor_saved(photographs, tmp_path):
    run = train(photographs, tmp_path, steps=2)
    with pytest.raises(FloatingPointError, match="the loss or its gradient is no longer finite at step 3; lower the"):
        train(photographs, tmp_path, dataclasses.replace(CONFIG, learning_rate=1e30), steps=6)
    run.averages[0.9]["conv_out.bias"][0] = torch.nan
    with pytest.raises(FloatingPointError, match="parameters are no longer finite at step 2; .* the checkpoint before"):
        twin_run.save_run(run, tmp_path / "last.pt")
    assert train(photographs, tmp_path, steps=1).step == 3


def test_large_photographs_come_oftener_if_asked(photographs):
    crops = [twin_run._photographs(photographs, CONFIG, SESSION._replace(favour_large=f)) for f in (False, True)]
    assert [len(c.pictures) for c in crops] == [2, 5]  # 48 pixels a side against 12
    assert [sum(p[0].shape[0] == 48 for p in c.pictures) for c in crops] == [1, 4]


def run_command(photographs, folder, *words):
    """The command with a small network."""
    options = [
        "--data",
        photographs,
        "--validation",
        photographs,
        "--run",
        folder,
        "--threads",
        1,
        "--dtype",
        "float32",
    ]
    options += ["--model-channels", 32, "--channel-mult", "1", "--resampling", "plain"]
    options += ["--crop-size", 8, "--batch-size", 4, "--scales", "1", "--warmup-steps", 1, *words]
    return CliRunner().invoke(command, [str(word) for word in options], standalone_mode=False)


@pytest.mark.slow
def test_a_signal_ends_a_session_with_a_checkpoint_and_the_next_writes_the_prior(photographs, tmp_path, monkeypatch):
    update = twin_run.update

    def interrupted(run, *arguments):
        loss = update(run, *arguments)
        if run.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    monkeypatch.setattr(twin_run, "update", interrupted)
    monkeypatch.setattr(training, "validate", functools.partial(training.validate, size=16))  # of 256 pixels a side
    before = signal.getsignal(signal.SIGTERM)
    words = ("--ema-decay", "0.5", "--seed", 3)
    stopped = run_command(photographs, tmp_path, "--minutes", 5, *words)
    assert isinstance(stopped.exception, click.Abort), stopped.output
    assert "step 3 is saved; the same command goes on" in stopped.output
    assert signal.getsignal(signal.SIGTERM) == before

    written = run_command(photographs, tmp_path, "--minutes", 0, *words)
    assert written.exception is None, written.exception
    prior = jr.load_prior(tmp_path / "prior")
    assert prior.config == SMALL
    info = json.loads((tmp_path / "prior" / "prior.json").read_text())["info"]
    assert (info["steps"], info["ema_decay"], len(info["sessions"])) == (3, 0.5, 1)
    assert info["sessions"][0].items() >= {"batch_size": 4, "scales": [1.0], "dtype": "float32", "last_step": 3}.items()
    assert info["validation_rmse"] == pytest.approx(training.validate(prior, photographs), rel=1e-4)

    run = twin_run.init_run(CONFIG, (0.5,))
    twin_run.restore_run(run, tmp_path / "last.pt")
    run.network.load_state_dict(run.averages[0.5])
    x, sigma = np.random.default_rng(0).standard_normal((16, 8, 3)).astype(np.float32), np.float32(0.7)
    expected = twin.denoise(run.network, torch.from_numpy(x)[None], torch.tensor([sigma]))[0]
    assert relative_error(prior.denoise(jnp.asarray(x), sigma), expected.detach()) < 1e-3  # weights are in float16


@pytest.mark.slow
def test_the_average_with_the_smallest_errors_is_written(photographs, tmp_path, monkeypatch):
    """By ratios: an error of 4 instead of 2 at a strong noise counts as much as 0.02 instead of 0.01 at a weak one."""
    run = twin_run.init_run(CONFIG, (0.5, 0.9))
    for decay, average in run.averages.items():
        average["conv_out.bias"].fill_(decay)
    answers = iter([{"0.1": 0.02, "5": 2.0}, {"0.1": 0.01, "5": 3.0}])
    monkeypatch.setattr(training, "validate", lambda prior, folder: next(answers))
    train_twin.write_best(run, photographs, tmp_path / "prior")
    np.testing.assert_allclose(jr.load_prior(tmp_path / "prior").params["conv_out.bias"], 0.9, rtol=1e-3)


def test_a_run_may_begin_from_a_prior(photographs, tmp_path):
    prior = NetworkPrior(randomised(SMALL), config=SMALL, parametrization="edm")
    run = twin_run.init_run(CONFIG, DECAYS, prior)
    for name, value in twin.to_params(SMALL, run.averages[0.9]).items():
        np.testing.assert_array_equal(value, prior.params[name])
    with pytest.raises(
        ValueError, match=r"start has another network than config: channel_mult is \(1, 2\), expected \(1,"
    ):
        twin_run.init_run(CONFIG, DECAYS, network("edm"))
    with pytest.raises(ValueError, match="start has parametrization 'vp', expected 'edm'"):
        twin_run.init_run(CONFIG, DECAYS, dataclasses.replace(prior, parametrization="vp"))
    jr.save_prior(tmp_path / "start", prior)
    refused = run_command(
        photographs, tmp_path / "run", "--minutes", 0, "--start", tmp_path / "start", "--patch-size", 1
    )
    assert "start has another network than config: patch_size is 2, expected 1" in str(refused.exception)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attention_resolutions": (1,)}, r"attention_resolutions=\(1,\), but the twin has neither"),
        ({"num_classes": 3}, "the network has num_classes=3, but the twin has neither attention nor classes"),
        ({"out_channels": 6}, "out_channels=6 for in_channels=3, .*`jaxrestore train`"),
    ],
)
def test_networks_that_the_twin_cannot_be_are_refused(fields, message):
    with pytest.raises(ConversionError, match=message):
        twin.TwinUNet(dataclasses.replace(SMALL, **fields))


def test_a_run_of_another_network_or_with_other_averages_is_not_touched(photographs, tmp_path):
    train(photographs, tmp_path, steps=1)
    other = dataclasses.replace(CONFIG, network=dataclasses.replace(SMALL, num_res_blocks=2))
    with pytest.raises(ValueError, match="another network: num_res_blocks is 1, expected 2; choose another"):
        train(photographs, tmp_path, other, steps=1)
    with pytest.raises(ValueError, match="averages of decay 0.5, 0.9, expected 0.99"):
        train(photographs, tmp_path, steps=1, decays=(0.99,))
    assert train(photographs, tmp_path, steps=1).step == 2


def test_bad_words_are_refused(photographs, tmp_path, monkeypatch):
    refused = run_command(photographs, tmp_path, "--minutes", 1, "--decay-minutes", 2)
    assert "decay_minutes is 2.0, expected 0 to minutes, 1.0" in str(refused.exception)
    refused = run_command(photographs, tmp_path, "--minutes", 1, "--scales", "1,half")
    assert "'1,half' is no list of numbers, e.g. 1,0.5,0.25" in str(refused.exception)
    monkeypatch.setitem(sys.modules, "torch", None)
    refused = run_command(photographs, tmp_path, "--minutes", 1)
    assert "training the twin needs torch: pip install 'jaxrestore[verify]'" in str(refused.exception)


@pytest.mark.slow
def test_a_compiled_session_follows_the_plain_one(photographs, tmp_path):
    plain = train(photographs, tmp_path / "plain", steps=3)
    fast = train(photographs, tmp_path / "fast", steps=3, session=SESSION._replace(compiled=True))
    for name, value in plain.network.state_dict().items():
        np.testing.assert_allclose(fast.network.state_dict()[name], value, atol=1e-3)
