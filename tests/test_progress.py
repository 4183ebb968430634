"""What is shown while pictures are restored."""

import contextlib
import time

import jax
import jax.numpy as jnp
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import streaming
from jaxrestore._progress import StepBar, step_bar, where


@pytest.mark.parametrize(
    ("done", "pictures", "expected"),
    [
        (0, 1, "restoring, batch 1 of 3"),
        (9, 12, "restoring 12 pictures, batch 1 of 3"),
        (10, 12, "restoring 12 pictures, batch 2 of 3"),
        (30, 12, "restoring 12 pictures, batch 3 of 3"),
    ],
)
def test_pictures_and_batches_are_counted(done, pictures, expected):
    assert where(done, 30, 10, pictures) == expected


def test_one_picture_is_just_restored():
    assert where(3, 10, 10, 1) == "restoring"


@pytest.mark.parametrize(("advances", "told"), [([], "compiling"), ([0], "first steps"), ([0, 1], "steps/s")])
def test_the_rate_is_there_from_the_first_piece_on(advances, told, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with step_bar(4, enabled=True, of_batch=4, pictures=1) as bar:
        for steps in advances:
            bar.advance(steps)
            time.sleep(0.02)
    assert told in capsys.readouterr().out


def test_restoring_begins_the_bar_before_its_first_piece_is_done(monkeypatch):
    """As `step_bar` asks for it."""
    advances = []

    @contextlib.contextmanager
    def noted(total, **_):
        yield StepBar(advances.append, lambda steps: None)

    monkeypatch.setattr(streaming, "step_bar", noted)
    degradation = jr.Degradation(jr.operators.Denoising((8, 8, 3)), jr.GaussianNoise(0.1))
    jr.restore(jr.ddnm(num_steps=3), isotropic(), degradation, jnp.zeros((1, 8, 8, 3)), key=jax.random.key(0))
    assert advances[0] == 0
    assert sum(advances) == 3
