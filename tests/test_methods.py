"""Every method on every task: what the rows allow is traced from start to end, everything else is refused.

By default every method is traced on a linear and a nonlinear task, and every task under one method.
"""

import dataclasses
import functools
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import isotropic

import jaxrestore as jr
from jaxrestore import methods, operators
from jaxrestore.operators.neural_blur import blur_shapes, code_shape
from jaxrestore.schedules import ddpm

SHAPE = (32, 32, 3)
# One for each thing that methods ask of an operator: its gradient, pseudo-inverse, decomposition, and linearisation.
OF_EACH_KIND = ("spgd", "ddnm", "ddrm", "mmps")
NONLINEAR_BLUR_SHAPE = (128, 128, 3)
# What makes each method's program small; a new row without an entry fails.
SMALL = {
    "spgd": {"num_steps": 2, "warmup_steps": 2},
    "pspgd": {"evaluations": 4},
    "dpps": {"num_steps": 3, "n_max": 4},
    "pdpps": {"num_steps": 3, "n_max": 4},
    "dps": {"num_steps": 3},
    "diffpir": {"num_steps": 3},
    "ddnm": {"num_steps": 3},
    "ddpg": {"num_steps": 3},
    "ddrm": {"num_steps": 3},
    "pigdm": {"num_steps": 3},
    "mmps": {"num_steps": 3},
    "daps": {"num_steps": 2, "ode_steps": 2, "langevin_steps": 2},
    "reddiff": {"num_steps": 3},
    "repaint": {"num_steps": 4, "jump_length": 2, "jump_repeats": 2},
}
# Options that suit small images, and methods that the operator excludes; a new row without an entry fails.
NO_DECOMPOSITION = {"ddrm", "repaint"}
NOT_LINEAR = {"diffpir", "ddnm", "ddpg", "ddrm", "pigdm", "repaint"}
TASKS = {
    "super_resolution": ({}, set()),
    "gaussian_deblur": ({"kernel_size": 9}, set()),
    "motion_deblur": ({"kernel_size": 9}, NO_DECOMPOSITION),
    "inpainting_random": ({}, set()),
    "inpainting_box": ({}, set()),
    "phase_retrieval": ({}, NOT_LINEAR),
    "nonlinear_deblur": ({}, NOT_LINEAR),
    "high_dynamic_range": ({}, NOT_LINEAR),
    "denoising": ({}, set()),
    "colorization": ({}, set()),
    "jpeg": ({}, set()),
    "demosaicing": ({}, set()),
    "deconvolution": ({"kernel_size": 9}, set()),
    "dehazing": ({}, NOT_LINEAR),
    "compressed_sensing": ({}, set()),
}


@functools.cache
def degradation(name):
    """Of a task; nonlinear blur with a small network of random weights, which no file holds."""
    if name == "nonlinear_deblur":
        params = {n: jnp.full(s.shape, 0.01) for n, s in blur_shapes(4, 1, 1).items()}
        code = jnp.zeros(code_shape(NONLINEAR_BLUR_SHAPE, params))
        return jr.Degradation(operators.NonlinearBlur(NONLINEAR_BLUR_SHAPE, params, code), jr.GaussianNoise(0.05))
    noise_std = 0.0 if name == "jpeg" else 0.05  # a file has no noise but that of its quality
    return jr.task(name, image_shape=SHAPE, noise_std=noise_std, **TASKS[name][0]).degradation


def test_every_row_has_an_entry():
    assert set(SMALL) == set(jr.METHODS)
    assert set(TASKS) == set(jr.TASKS)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", SMALL)
def test_the_rows_say_which_method_can_do_which_task(task, method):
    sampler, model = jr.METHODS[method].build(**SMALL[method]), degradation(task)
    y = jax.ShapeDtypeStruct(model.measurement_shape, jnp.float32)
    inputs = (isotropic(model.image_shape), model, y)
    refusal = jr.METHODS[method].refusal(model.operator)
    assert (refusal is not None) == (method in TASKS[task][1])
    assert (method in methods.able(model.operator)) == (refusal is None)
    if refusal:
        with pytest.raises(TypeError, match=f"{method} takes .*operators.* only and {type(model.operator).__name__} "):
            jax.eval_shape(sampler.init, jax.random.key(0), *inputs)


ABLE = [(method, task) for task in TASKS for method in SMALL if method not in TASKS[task][1]]
TRACED = {(m, t) for m, t in ABLE if m == "dps" or t in ("inpainting_random", "phase_retrieval")}


@pytest.mark.parametrize(
    ("method", "task"), [pytest.param(*pair, marks=[] if pair in TRACED else pytest.mark.slow) for pair in ABLE]
)
def test_a_method_goes_through_a_task_that_it_can_do(method, task):
    sampler, model = jr.METHODS[method].build(**SMALL[method]), degradation(task)
    inputs = (isotropic(model.image_shape), model, jax.ShapeDtypeStruct(model.measurement_shape, jnp.float32))
    state = jax.eval_shape(sampler.init, jax.random.key(0), *inputs)
    advanced, info = jax.eval_shape(sampler.step, state, *inputs)
    assert advanced.x.shape == model.image_shape
    assert jax.tree.structure(advanced) == jax.tree.structure(state)
    assert [a.dtype for a in jax.tree.leaves(advanced)] == [a.dtype for a in jax.tree.leaves(state)]
    assert info.residual.shape == ()


class TestRows:
    @pytest.mark.parametrize("name", SMALL)
    def test_the_weight_is_a_setting_that_counts(self, name):
        row = jr.METHODS[name]
        if row.weight is not None:
            assert row.defaults[row.weight] > 0
        if row.remedy is not None:
            assert row.remedy.split()[-1] in row.defaults

    @pytest.mark.parametrize("name", SMALL)
    def test_settings_for_another_size_go_back_to_what_they_were(self, name):
        row = jr.METHODS[name]
        settings = {k: v for k, v in row.complete({}).items() if isinstance(v, float)}
        there = row.at_side(settings, (96, 40, 3))
        assert row.at_side(there, (96, 40, 3), inverse=True) == pytest.approx(settings)
        changed = {k for k in settings if there[k] != settings[k]}
        assert changed == ({row.weight} if row.weight_grows_with_side else set())

    @pytest.mark.parametrize("name", SMALL)
    def test_settings_for_another_norm_change_as_those_derived_from_it(self, name):
        row = jr.METHODS[name]
        settings = {k: v for k, v in row.complete({}).items() if isinstance(v, float)}
        there = row.at_gain(settings, lambda: 2.0)
        changed = {k: there[k] / settings[k] for k in settings if there[k] != settings[k]}
        assert changed == ({"learning_rate": 0.25} if name in ("spgd", "daps") else {})
        assert row.at_gain(settings, lambda: 1.0) == settings
        assert row.at_gain(there, lambda: 2.0, inverse=True) == pytest.approx(settings)

    @pytest.mark.parametrize("num_steps", [12, 100, 200])
    def test_levels_that_are_one_step_of_the_process_cost_once_on_each_grid(self, num_steps):
        row, settings = jr.METHODS["pdpps"], {"num_steps": num_steps, "sigma_max": 5.0}
        coarse = row.build(**settings, sigma_min=0.5).num_steps
        fine = row.build(**{**settings, "sigma_max": 0.6}).num_steps
        cost = row.evaluations({**settings, "grids": 2})
        assert cost.forward == cost.gradients == math.ceil(fine + coarse / 4)

    def test_the_mean_of_several_runs_costs_several(self):
        one, four = (jr.METHODS["dps"].evaluations({"num_steps": 10, "mean_of": n}) for n in (1, 4))
        assert one == (10, 10)
        assert four == (40, 40)

    def test_a_reduced_picture_costs_a_quarter(self):
        two, three = (jr.METHODS["pspgd"].evaluations({"evaluations": 12, "grids": n}) for n in (2, 3))
        assert two == (15, 15)
        assert three == (16, 16)  # 15.75, rounded up

    @pytest.mark.parametrize("name", [name for name, row in jr.METHODS.items() if row.part])
    def test_on_two_grids_the_coarse_one_ends_where_the_fine_one_begins(self, name):
        row, made = jr.METHODS[name], []

        def noted(**settings):
            made.append(settings)
            return row.factory(**settings)

        noted.__signature__ = inspect.signature(row.factory)
        dataclasses.replace(row, factory=noted).build(**SMALL[name], grids=2)
        coarse, fine = made[0], made[-1]  # in between the fine one is asked for its length
        if "sigma_max" in coarse:
            assert (coarse["sigma_min"], fine["sigma_max"]) == (0.5, pytest.approx(0.6))
            assert (coarse["sigma_max"], fine["sigma_min"]) == (row.defaults["sigma_max"], row.defaults["sigma_min"])
        else:
            sigmas = [np.sqrt(1 / s["num_steps"].abar - 1) for s in (coarse, fine)]
            assert sigmas[0].min() == pytest.approx(0.5, abs=0.02)
            assert sigmas[1].max() == pytest.approx(0.6, abs=0.02)
            assert sigmas[0].max() > 100
            assert sigmas[1].min() < 0.02

    def test_methods_of_one_grid_say_so(self):
        with pytest.raises(ValueError, match="grids is 2, but reddiff works on one grid only; others are spgd, pspgd"):
            jr.METHODS["reddiff"].build(num_steps=3, grids=2)
        with pytest.raises(ValueError, match="grids is 0, expected at least 1"):
            jr.METHODS["pspgd"].build(grids=0)

    def test_a_schedule_counts_by_its_steps(self):
        assert jr.METHODS["ddnm"].evaluations({"num_steps": ddpm(7, kind="cosine")}) == (7, 0)

    def test_what_cannot_be_built_has_no_cost(self):
        for tell in (
            jr.METHODS["pspgd"].evaluations,
            lambda s: jr.METHODS["pspgd"].idle(s, operators.Denoising(SHAPE)),
        ):
            with pytest.raises(ValueError, match="evaluations is 1, expected at least 4"):
                tell({"evaluations": 1})

    def test_steps_that_two_levels_share_count_once(self):
        for count in (200, 1500):
            steps = jr.pdpps(num_steps=count).num_steps
            assert jr.METHODS["pdpps"].evaluations({"num_steps": count}) == (steps, steps)

    @pytest.mark.parametrize("value", ["fast", None, 1j])
    def test_a_setting_that_is_no_number_is_named(self, value):
        with pytest.raises(TypeError, match=f"learning_rate is {value!r}, expected a number"):
            jr.METHODS["spgd"].build(learning_rate=value)

    def test_unknown_settings_and_methods_are_named(self):
        with pytest.raises(TypeError, match="spgd has no setting scale; it takes num_steps, .*, grids, mean_of"):
            jr.METHODS["spgd"].build(scale=1.0)
        with pytest.raises(ValueError, match="method is 'magic', expected one of 'spgd'"):
            methods.get("magic")


@pytest.mark.parametrize(("changed", "told"), [({"sigma_max": 0.4}, "0.4 and"), ({"sigma_min": 0.7}, "sigma_min 0.7")])
def test_levels_that_leave_nothing_to_a_grid_are_named_as_they_were_given(changed, told):
    with pytest.raises(ValueError, match=rf"{told}.*leaves nothing to the grid"):
        jr.METHODS["pspgd"].build(grids=2, **changed)
