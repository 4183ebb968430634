import csv
import itertools

import jax
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import analysis

SHAPE = (8, 8, 3)
PRIOR = isotropic(SHAPE)
DEGRADATION = jr.Degradation(jr.operators.GaussianBlur(SHAPE, 5, 1.0), jr.GaussianNoise(0.05))
Y = DEGRADATION.measure(jax.random.key(1), PRIOR.sample(jax.random.key(2)))


@pytest.mark.parametrize(("method", "step_size"), [("spgd", 0.1), pytest.param("dps", 0.3, marks=pytest.mark.slow)])
def test_variants_differ_in_warm_up_and_momentum(method, step_size):
    samplers = analysis.variants(method, 8, 3, step_size)
    assert next(iter(samplers)) == method
    found = {label: analysis.curves(s, jax.random.key(0), PRIOR, DEGRADATION, Y)[1] for label, s in samplers.items()}
    assert len(found) == {"spgd": 3, "dps": 4}[method]
    for run in found.values():
        assert all(len(curve) == 8 for curve in run)
        assert np.isnan([run.angle_likelihood[0], run.angle_denoising[0]]).all()
        angles = np.stack(run[:3])[:, 1:]
        assert ((angles >= 0) & (angles <= 180)).all()
    residuals = [run.residual for run in found.values()]
    assert all(not np.allclose(a, b) for i, a in enumerate(residuals) for b in residuals[:i])


def test_angles_are_those_of_the_states():
    """DPS's denoising direction is that from the noisy image to its estimate: angles from a recorded run."""
    sampler = jr.dps(num_steps=6, scale=0.3)
    result = sampler.sample(jax.random.key(0), PRIOR, DEGRADATION, Y, record_every=1)
    abar = jr.schedules.ddpm(6).abar[::-1]
    # The estimate is clipped in the recording, so only entries within the range are compared through eps itself.
    directions = [
        np.asarray(PRIOR.denoise(x / np.sqrt(a), np.sqrt((1 - a) / a)) - x / np.sqrt(a)).ravel()
        for x, a in zip(result.recording.x[:-1], abar[1:], strict=True)
    ]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.pairwise(directions)]
    np.testing.assert_allclose(np.cos(result.info.angle_denoising[2:]), cosines, atol=1e-3)


def test_samplers_without_likelihood_gradients_and_other_methods_are_refused():
    daps, ran = jr.daps(num_steps=3, langevin_steps=1), []

    def init(*args):
        jax.debug.callback(lambda: ran.append(True))
        return daps.init(*args)

    with pytest.raises(ValueError, match="DAPSInfo has no angle_likelihood_denoising"):
        analysis.curves(daps._replace(init=init), jax.random.key(0), PRIOR, DEGRADATION, Y)
    jax.effects_barrier()
    assert not ran, "it is told before anything runs"
    with pytest.raises(ValueError, match="method is 'ddrm', expected spgd or dps"):
        analysis.variants("ddrm", 8, 3, 1.0)


@pytest.mark.slow
def test_table_and_picture(tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    found = {
        label: analysis.curves(s, jax.random.key(0), PRIOR, DEGRADATION, Y)[1]
        for label, s in list(analysis.variants("spgd", 4, 2, 0.1).items())[:2]
    }
    analysis.write_csv(tmp_path / "a.csv", found)
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert float(rows[5]["residual"]) == pytest.approx(float(found["spgd, no momentum"].residual[1]), rel=1e-4)
    analysis.draw(tmp_path / "a.png", found, title="test")
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 200
        assert len(np.unique(np.asarray(picture.convert("L")))) > 5
