"""Batches that fit: what devices have free, what programs need, and what happens where that was wrong."""

import dataclasses
import logging
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import estimates, memory, streaming

SHAPE = (8, 8, 3)
PRIOR = isotropic(SHAPE)
DEGRADATION = jr.Degradation(jr.operators.GaussianBlur(SHAPE, 5, 1.0), jr.GaussianNoise(0.05))
SAMPLER = jr.spgd(num_steps=3, warmup_steps=2, learning_rate=0.05)
YS = np.asarray(jax.random.normal(jax.random.key(1), (6, *SHAPE)), np.float32)
KEY = jax.random.key(0)
GIB = 2**30


@pytest.fixture(scope="module")
def whole():
    return jr.restore(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=2)


class Files:
    """A stack that is read row by row, and counts what is held at a time."""

    shape = YS.shape

    def __init__(self):
        self.read = []

    def __len__(self):
        return len(YS)

    def __getitem__(self, index):
        self.read.append(index)
        return YS[index]


def sizes_of(batches):
    return [len(b.image) for b in batches]


def test_measurements_are_read_when_it_is_their_turn(whole):
    files = Files()
    batches = jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, files, key=KEY, batch_size=2)
    first = next(batches)
    assert files.read == [0, 1]
    rest = list(batches)
    assert files.read == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(np.concatenate([b.x for b in (first, *rest)]), whole)


def test_a_measurement_that_is_read_late_is_checked():
    files = Files()
    files.__class__ = type("Broken", (Files,), {"__getitem__": lambda self, i: YS[i] * (np.nan if i == 3 else 1)})
    batches = jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, files, key=KEY, batch_size=2)
    assert next(batches).image.tolist() == [0, 1]
    with pytest.raises(ValueError, match="measurement 3 of ys has values that are not finite"):
        next(batches)


def test_a_batch_that_cannot_be_allocated_is_halved_and_the_run_goes_on(whole, monkeypatch):
    advance, tried = streaming.advance, []

    def exhausted(run, state, *rest, steps):
        tried.append(len(state.x))
        if len(state.x) > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes.")
        return advance(run, state, *rest, steps=steps)

    monkeypatch.setattr(streaming, "advance", exhausted)
    with pytest.warns(UserWarning, match="5 samples at a time do not fit into memory; going on with 2"):
        batches = list(jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=5))
    assert sizes_of(batches) == [2, 2, 2]
    assert tried.count(5) == 1
    np.testing.assert_array_equal(np.concatenate([b.x for b in batches]), whole)


def test_one_picture_that_does_not_fit_says_what_helps(monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr(streaming, "advance", exhausted)
    with pytest.raises(MemoryError, match=r"not enough memory for one picture at a time \(Unable .*--tile"):
        list(jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=1))


def test_other_errors_of_the_device_are_not_taken_for_that(monkeypatch):
    def broken(*_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: no")

    monkeypatch.setattr(streaming, "advance", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        list(jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=2))


def test_the_batch_size_follows_from_the_program_and_the_device(monkeypatch):
    """Programs of 4 and 2 images need 40 and 20 MB; with 25 free, of which 85 % count, it is 2; with 9 it is 1."""
    monkeypatch.setattr(memory, "usual_batch", lambda device: 4)
    asked = []

    def needed(run, state, *rest):
        asked.append(len(state.x))
        return len(state.x)

    monkeypatch.setattr(streaming, "program", needed)
    monkeypatch.setattr(memory, "program_bytes", lambda count: 10 * count)
    for free, expected in ((100, [4, 2]), (25, [2, 2, 2]), (9, [1] * 6)):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        assert sizes_of(jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY)) == expected
    assert asked == [4, 4, 2, 4]  # the analysis is asked once for each size that is tried, never for a single image


def test_a_program_s_analysis_is_that_of_the_program_that_runs():
    """Its temporary memory grows with the batch by a state at least; the call after it compiles nothing more."""
    sampler = jr.spgd(num_steps=4, warmup_steps=2, learning_rate=0.05)  # of its own, for which nothing is compiled yet
    run = streaming.arrange(
        sampler, PRIOR, DEGRADATION, YS, key=KEY, batch_size=2, num_samples=1, batched_degradation=False,
        indices=None, collection=None, mesh=None,
    )  # fmt: skip
    taken, compiled = [], []
    handler = logging.Handler()
    handler.emit = lambda record: compiled.append(record.getMessage())
    logging.getLogger("jax").addHandler(handler)
    with jax.log_compiles():
        for size in (1, 2):
            arguments = streaming.begin(run, run.jobs[:size], size)
            taken.append(memory.program_bytes(streaming.program(run, *arguments)))
            jax.block_until_ready(streaming.advance(run, *arguments, steps=2))
    logging.getLogger("jax").removeHandler(handler)
    assert taken[1] - taken[0] >= YS[0].nbytes
    assert sum(m.startswith("Compiling") and "_advance" in m for m in compiled) == 2


@pytest.mark.parametrize(
    ("stats", "platform", "expected"),
    [
        ({"bytes_limit": 8 * GIB, "bytes_in_use": 3 * GIB}, "gpu", 5 * GIB),
        (None, "gpu", None),
    ],
)
def test_free_memory_is_what_the_device_says(stats, platform, expected):
    device = types.SimpleNamespace(platform=platform, memory_stats=lambda: stats)
    assert memory.free_bytes(device) == expected


def test_free_memory_of_processors_is_the_least_of_system_groups_and_limits(tmp_path, monkeypatch):
    free = memory._free_of_system()
    assert free is None or 0 < free < 2**50
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    for place, limit in ((tmp_path, None), (tmp_path / "a", "1000"), (group, "max")):
        if limit:
            (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text("700\n")
        (place / "memory.stat").write_text("anon 1\ninactive_file 200\n")
    names = ("memory.max", "memory.current", "inactive_file")
    assert list(memory._free_of_group(tmp_path, "/a/b", *names)) == [500]
    assert list(memory._free_of_group(tmp_path, "/elsewhere", *names)) == []
    monkeypatch.setattr(memory, "_free_of_system", lambda: 900)
    monkeypatch.setattr(memory, "_free_of_groups", lambda: [500])
    monkeypatch.setattr(memory, "_free_of_limits", lambda: None)
    monkeypatch.setattr(jax, "local_device_count", lambda *_: 2)
    device = types.SimpleNamespace(platform="cpu", memory_stats=lambda: None)
    assert memory.free_bytes(device) == 250


def test_sizes_stay_multiples_of_the_devices():
    error = memory.TooLarge(needed=100, free=20)
    assert memory.smaller(16, error, 1) == 2
    assert memory.smaller(16, error, 4) == 4
    with pytest.warns(UserWarning, match="12 samples at a time do not fit into memory; going on with 4"):
        assert memory.smaller(12, MemoryError("no"), 4) == 4


class TestParts:
    """Parts of a collection have the whole's program, and so its results to the last bit."""

    def test_a_remainder_is_filled_up_to_the_collection_s_batch(self, whole):
        part = list(
            jr.restore_batches(
                SAMPLER, PRIOR, DEGRADATION, YS[5:], key=KEY, batch_size=2, indices=[5], collection=len(YS)
            )
        )
        np.testing.assert_array_equal(part[0].x, whole[5:])
        assert len(part[0].x) == 1

    def test_rows_that_others_have_done_meanwhile_are_left_out(self, whole):
        files, done = Files(), {1, 2, 5}
        options = {"key": KEY, "batch_size": 2, "wanted": lambda row: row not in done}
        batches = list(jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, files, num_samples=1, **options))
        assert [b.image.tolist() for b in batches] == [[0, 3], [4]]
        np.testing.assert_array_equal(np.concatenate([b.x for b in batches]), whole[[0, 3, 4]])

    def test_no_sample_of_such_a_row_is_begun(self):
        options = {"key": KEY, "batch_size": 3, "wanted": lambda row: row % 2 == 0}
        batches = list(jr.restore_batches(SAMPLER, PRIOR, DEGRADATION, YS, num_samples=2, **options))
        assert [b.image.tolist() for b in batches] == [[0, 0, 2], [2, 4, 4]]


class TestEstimate:
    def test_it_counts_what_the_run_would_cost(self):
        found = estimates.estimate(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=4)
        assert (found.batch_size, found.samples, found.steps) == (4, 6, 2 * SAMPLER.num_steps)
        assert found.seconds == pytest.approx(found.step_seconds * found.steps + 2 * found.begin_seconds)
        assert found.memory is None or found.memory > 4 * YS[0].nbytes

    def test_it_counts_what_comes_before_the_first_step(self, monkeypatch):
        """As the coarser grids do, here a tenth of a second that every batch begins with."""
        begin = streaming.begin
        monkeypatch.setattr(streaming, "begin", lambda *args: (time.sleep(0.1), begin(*args))[1])
        found = estimates.estimate(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=4)
        assert found.begin_seconds >= 0.1
        assert found.seconds >= 0.2

    def test_a_batch_that_does_not_fit_is_halved(self, monkeypatch):
        advance = streaming.advance

        def exhausted(run, state, *rest, steps):
            if len(state.x) > 2:
                raise MemoryError("no")
            return advance(run, state, *rest, steps=steps)

        monkeypatch.setattr(streaming, "advance", exhausted)
        with pytest.warns(UserWarning, match="going on with 2"):
            assert estimates.estimate(SAMPLER, PRIOR, DEGRADATION, YS, key=KEY, batch_size=4).steps == 9

    def test_loops_of_known_length_count_so_often(self):
        def five(x):
            return jax.lax.fori_loop(0, 5, lambda _, x: x @ x, x)

        assert estimates.flop(five, jnp.ones((3, 3))) == 5 * 2 * 27
        assert estimates.flop(jax.jit(five), jax.ShapeDtypeStruct((3, 3), jnp.float32)) == 270

    def test_convolutions_branches_and_transforms(self):
        x, kernel = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 6))
        dimensions = ("NHWC", "HWIO", "NHWC")

        def convolve(x, kernel):
            return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=dimensions)

        assert estimates.flop(convolve, x, kernel) == 2 * 4 * 4 * 6 * 9 * 4
        square = jnp.ones((3, 3))
        branches = estimates.flop(lambda p, a: jax.lax.cond(p, lambda a: a @ a @ a, lambda a: a @ a, a), True, square)
        assert branches == 2 * 54
        assert estimates.flop(jnp.fft.fft, jnp.ones(16, jnp.complex64)) == 5 * 16 * 4

    def test_a_sampler_costs_its_evaluations(self):
        """SPGD: at each of N levels `warmup_steps` denoisings with their gradients, each worth one more."""
        prior = dataclasses.replace(PRIOR)
        degradation = jr.Degradation(jr.operators.Denoising(SHAPE), jr.GaussianNoise(0.1))
        costs = [
            estimates.sampler_flop(jr.spgd(num_steps=n, warmup_steps=k), prior, degradation)
            for n, k in ((2, 1), (4, 1), (4, 3))
        ]
        assert costs[0] > 0
        assert costs[1] == 2 * costs[0]
        assert costs[2] == 3 * costs[1]
