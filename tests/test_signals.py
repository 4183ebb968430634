"""Ctrl-C and SIGTERM: one line, the exit code that shells expect, within seconds, and nothing half written."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from conftest import by_default

import jaxrestore as jr
from jaxrestore import images, stopping
from jaxrestore.storage import files, temporary

SIGNALS = [(signal.SIGINT, 130, "stopped by Ctrl-C"), (signal.SIGTERM, 143, "stopped by SIGTERM")]
# Whoever runs the tests in the background has SIGINT ignored, which processes inherit.
HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
COMMAND = [sys.executable, "-c", HEARD + "from jaxrestore_command import main; main()"]
UNCACHED = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "0"}


class TestInProcess:
    def test_nothing_is_watched_outside_of_a_command(self):
        assert stopping.requested() is None
        stopping.check()
        with stopping.patience(5.0):
            pass

    def test_a_signal_is_noted_and_raised_where_the_program_can_stop(self):
        handler = signal.getsignal(signal.SIGTERM)
        with stopping.watched(), stopping.patience(60.0):
            assert signal.getsignal(signal.SIGTERM) != handler
            os.kill(os.getpid(), signal.SIGTERM)
            while stopping.requested() is None:
                time.sleep(0.01)
            with pytest.raises(stopping.Stopped, match="stopped by SIGTERM") as stopped:
                stopping.check()
            assert stopped.value.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == handler
        assert stopping.requested() is None

    def test_a_stream_stops_between_its_batches_and_keeps_those_before(self, monkeypatch):
        from conftest import isotropic

        sampler = jr.spgd(num_steps=2, warmup_steps=1, learning_rate=0.05)
        degradation = jr.Degradation(jr.operators.Denoising((8, 8, 3)), jr.GaussianNoise(0.05))
        ys = np.zeros((4, 8, 8, 3), np.float32)
        batches = jr.restore_batches(sampler, isotropic(), degradation, ys, key=jax.random.key(0), batch_size=2)
        assert next(batches).image.tolist() == [0, 1]
        monkeypatch.setattr(stopping, "requested", lambda: signal.SIGINT)
        with pytest.raises(stopping.Stopped):
            next(batches)

    def test_signals_that_are_ignored_stay_ignored(self):
        earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with stopping.watched():
                assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, earlier)

    def test_other_threads_run_commands_too(self):
        ran = []

        def work():
            with stopping.watched():
                ran.append(stopping.requested())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert ran == [None]

    def test_what_is_being_written_is_known_until_it_has_its_name(self, tmp_path):
        with files.replacing(tmp_path / "a.png") as written:
            assert temporary._paths == {written}
            written.write_bytes(b"x")
        assert temporary._paths == set()
        assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@contextlib.contextmanager
def started(command, **options):
    """A process that does not outlive the test."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stop(process, number):
    """Exit code, errors, and seconds that it took."""
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    return process.returncode, err, time.monotonic() - began


ENDINGS = (
    HEARD
    + """
import os, pathlib, sys, threading, time
from jaxrestore import stopping
from jaxrestore.storage import files, weights
import click
from jaxrestore.console import run

@click.command()
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option("--native", is_flag=True)
def command(folder, native):
    with files.replacing(folder / "a.bin") as written:
        written.write_bytes(b"half")
        print("ready", flush=True)
        if native:
            # A lock that Python's main thread waits for without coming back to look at signals.
            import ctypes
            libc = ctypes.CDLL(None)
            libc.sleep(60); libc.sleep(60); libc.sleep(60)
        while True:
            time.sleep(0.05)
            if not native:
                stopping.check()
run(command)
"""
)


@pytest.mark.parametrize(("number", "code", "line"), by_default(SIGNALS, SIGNALS[-1:], several=True))
@pytest.mark.parametrize("native", [False, True], ids=["where it can stop", "where it cannot"])
def test_a_command_ends_with_one_line_and_without_leftovers(tmp_path, number, code, line, native):
    (tmp_path / "out").mkdir()
    words = [tmp_path / "out", *(["--native"] if native else [])]
    with started([sys.executable, "-c", ENDINGS, *words], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        found, err, seconds = stop(process, number)
    assert (found, err) == (code, f"{line}; what is finished stays\n")
    assert seconds < 30  # of 180; a second on a machine with nothing else to do
    assert list((tmp_path / "out").iterdir()) == []


def pictures(folder: pathlib.Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(count):
        images.save(folder / f"{i}.png", rng.uniform(-1, 1, (64, 64, 3)).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.5, 3.0, 6.0, 9.0])  # while importing, reading, tracing and compiling
@pytest.mark.parametrize(("number", "code", "line"), SIGNALS)
def test_restoring_stops_at_any_time(tmp_path, number, code, line, delay):
    pictures(tmp_path / "in", 1)
    words = ["restore", tmp_path / "in", "-o", tmp_path / "out", "--task", "denoising", "--method", "dps"]
    words += ["--set", "num_steps=1000"]
    with started([*COMMAND, *words], env=UNCACHED) as process:
        time.sleep(delay)
        assert process.poll() is None
        found, err, seconds = stop(process, number)
    assert found == code, err
    assert err.splitlines()[-1].startswith(line)
    assert "Traceback" not in err
    assert seconds < 30


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "line"), SIGNALS)
def test_training_saves_a_checkpoint_and_goes_on(tmp_path, number, code, line):
    pictures(tmp_path / "photos", 2)
    words = ["train", "--data", tmp_path / "photos", "--run", tmp_path / "run", "--out", tmp_path / "prior"]
    words += ["--set", "crop_size=8", "--set", "batch_size=2", "--network", "model_channels=32"]
    words += ["--network", "channel_mult=1,", "--set", "warmup_steps=1"]
    with started([*COMMAND, *words], env=UNCACHED, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith("step 100 ")
        found, err, _ = stop(process, number)
    assert (found, err.splitlines()[-1:]) == (code, [f"{line}; what is finished stays"])
    saved = max(int(p.name) for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.isdigit())
    assert saved >= 100
    assert not (tmp_path / "prior").exists()
    again = subprocess.run([*COMMAND, *words, "--set", f"num_steps={saved + 1}"], env=UNCACHED, check=False)
    assert again.returncode == 0
    assert (tmp_path / "prior" / "prior.json").exists()
