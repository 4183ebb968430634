"""Several devices (eight virtual ones) and several processes (two real ones) give what one gives."""

import itertools
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from conftest import smallest_network

import jaxrestore as jr
from jaxrestore import images, parallel

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("parallel") / "results.npz"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parent)}
    subprocess.run([sys.executable, str(HERE / "eight_devices.py"), str(out)], env=environment, check=True)
    with np.load(out) as stored:
        return dict(stored)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["spgd", "dpps", "samples", "own_masks", "split"])
def test_eight_devices_restore_what_one_does(results, case):
    """Within rounding: the compiler chooses other sums for a batch of one than for a batch of eight."""
    assert results["devices"] == 8
    one, eight = results[f"{case}/one"], results[f"{case}/eight"]
    assert np.std(one) > 0.05
    np.testing.assert_allclose(eight, one, atol=1e-4, rtol=1e-5)


@pytest.mark.slow
def test_whole_parameters_need_no_message_between_devices(results):
    assert results["messages"] == 0


@pytest.mark.slow
def test_each_number_of_devices_needs_one_program_for_the_steps(results):
    assert results["programs"] == 2


@pytest.mark.slow
def test_split_parameters_are_an_eighth_on_each_device(results):
    assert results["share_of_params"] < 0.15
    assert results["kept_where_it_was"]
    assert results["whole"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_disjoint_and_complete(count):
    shares = [parallel.share(range(10), i, count) for i in range(count)]
    assert sorted(itertools.chain(*shares)) == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for process in (-1, count):
        with pytest.raises(ValueError, match=f"process is {process}, expected one of {count}"):
            parallel.share(range(10), process, count)


@pytest.mark.parametrize("where", ["2/2@localhost:1", "here", "0/2", "0/2@localhost"])
def test_a_process_that_does_not_exist_is_refused(where):
    with pytest.raises(ValueError, match="names no process"):
        parallel.join(where)


def test_launchers_say_which_share_is_meant(monkeypatch):
    for process, count in parallel._LAUNCHERS:
        monkeypatch.delenv(process, raising=False)
        monkeypatch.delenv(count, raising=False)
    with pytest.raises(ValueError, match="none of SLURM_PROCID, .* write I/N"):
        parallel.place("auto")
    monkeypatch.setenv("SLURM_PROCID", "2")
    monkeypatch.setenv("SLURM_NTASKS", "5")
    assert parallel.place("auto") == (2, 5)


@pytest.mark.parametrize("where", ["2/2", "here", "1", "-1/2", "0/2@localhost:1"])
def test_a_share_that_does_not_exist_is_refused(where):
    with pytest.raises(ValueError, match="names no share"):
        parallel.place(where)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _restore(source, out, prior, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-c", "from jaxrestore.cli import main; main()", "restore", str(source), "-o", str(out)]
    options = ["--prior", str(prior), "--task", "super_resolution"]
    options += ["--method", "dps", "--set", "num_steps=3", "--set", "scale=0.1", "--quiet"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen([*command, *options, *words], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_share_a_folder_and_go_on_after_a_stop(tmp_path):
    source, alone, together = tmp_path / "source", tmp_path / "alone", tmp_path / "together"
    for i in range(5):
        images.save(source / f"{i}.png", np.asarray(jax.random.uniform(jax.random.key(i), (8, 8, 3), minval=-1)))
    prior = jr.save_prior(tmp_path / "prior", smallest_network())
    assert _restore(source, alone, prior).wait() == 0

    def run(*words: str) -> list[list[str]]:
        port = _free_port()
        where = [f"{i}/2@127.0.0.1:{port}" for i in range(2)]
        running = [_restore(source, together, prior, "--distributed", w, *words) for w in where]
        said = [process.communicate(timeout=300)[0] for process in running]
        assert [process.returncode for process in running] == [0, 0]
        return [
            [pathlib.Path(line.split("  ")[0]).name for line in text.splitlines() if ".png" in line] for text in said
        ]

    assert run() == [["0.png", "2.png", "4.png"], ["1.png", "3.png"]]
    for i in range(5):
        pair = [images.load(folder / f"{i}.png") for folder in (alone, together)]
        np.testing.assert_allclose(*pair, atol=1.01 * 2 / 255)  # one grey level, where rounding decides

    before = (together / "0.png").stat().st_mtime_ns
    for lost in (2, 3):
        (together / f"{lost}.png").unlink()
    assert run("--skip-existing") == [["2.png"], ["3.png"]]
    assert (together / "0.png").stat().st_mtime_ns == before
