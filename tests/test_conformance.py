"""Every sampler, operator and prior of the public namespace goes through the same facts."""

import dataclasses
import functools
import inspect

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import by_default, isotropic, motion_kernel, random_mixture

import jaxrestore as jr
from jaxrestore import operators
from jaxrestore.operators.neural_blur import blur_shapes
from jaxrestore.samplers._base import batch_axes

SHAPE = (8, 8, 3)
KEY = jax.random.key(7)

SAMPLERS = {
    "spgd": jr.spgd(num_steps=6, warmup_steps=2, learning_rate=0.05),
    "pspgd": jr.pspgd(evaluations=12, detail=1.0),
    "dpps": jr.dpps(num_steps=6, n_max=5),
    "pdpps": jr.pdpps(num_steps=6, n_max=5),
    "dps": jr.dps(num_steps=6),
    "diffpir": jr.diffpir(num_steps=6),
    "ddnm": jr.ddnm(num_steps=6),
    "ddpg": jr.ddpg(num_steps=6),
    "ddrm": jr.ddrm(num_steps=6),
    "pigdm": jr.pigdm(num_steps=6),
    "mmps": jr.mmps(num_steps=6, solver_steps=2),
    "daps": jr.daps(num_steps=6, ode_steps=2, langevin_steps=5, tau=0.05, learning_rate=5e-4),
    "reddiff": jr.reddiff(num_steps=6),
    "repaint": jr.repaint(num_steps=4, jump_length=2, jump_repeats=2),
}
RNG = np.random.default_rng(7)
BLUR = {  # a small network of random weights
    name: jnp.asarray(0.1 * RNG.standard_normal(shape.shape), jnp.float32)
    for name, shape in blur_shapes(4, 1, 1).items()
}


@flax.struct.dataclass
class Vignette(operators.OperatorBase):
    """A user's own operator with parameters of its own."""

    gains: jax.Array
    image_shape: tuple[int, int, int] = flax.struct.field(pytree_node=False)

    def _apply(self, x):
        return self.gains * x


OPERATORS = {
    "SuperResolution": operators.SuperResolution(SHAPE, 2),
    "GaussianBlur": operators.GaussianBlur(SHAPE, 5, 1.0),
    "MotionBlur": operators.MotionBlur(SHAPE, motion_kernel(KEY, 5, 0.5)),
    "Inpainting": operators.Inpainting(operators.random_mask(KEY, SHAPE, 0.5)),
    "PhaseRetrieval": operators.PhaseRetrieval(SHAPE, 2.0),
    "HighDynamicRange": operators.HighDynamicRange(SHAPE, 2.0),
    "Denoising": operators.Denoising(SHAPE),
    "Colorization": operators.Colorization(SHAPE),
    "JPEG": operators.JPEG(SHAPE, 50),
    "DecodedJPEG": operators.DecodedJPEG(SHAPE, 50),
    "CompressedSensing": operators.CompressedSensing(operators.sampling_mask(KEY, SHAPE), transform="hadamard"),
    "Haze": operators.Haze(SHAPE, jnp.full((8, 8, 1), 0.5), jnp.array([0.8, 0.8, 0.9])),
    "Enlarged": operators.Enlarged(operators.Denoising((15, 16, 3)), 2),
    "LinearMap": operators.LinearMap.from_matrix(SHAPE, np.random.default_rng(0).standard_normal((50, 192)) / 14),
    "NonlinearBlur": operators.NonlinearBlur((128, 128, 3), BLUR, operators.random_blur_code(KEY, (128, 128, 3), BLUR)),
    "Demosaicing": operators.Demosaicing(SHAPE),
    "Convolution": operators.Convolution(SHAPE, motion_kernel(KEY, 5, 0.5), "zero"),
    "SeparableBlur": operators.SeparableBlur(SHAPE, (0.2, 0.3, 0.5), "zero"),
    "SpaceVaryingBlur": operators.SpaceVaryingBlur(
        SHAPE,
        jnp.stack([motion_kernel(KEY, 5, share) for share in (0.1, 0.9)]),
        jnp.stack([jnp.full((8, 8), share) for share in (0.3, 0.7)]),
    ),
    "Linear": operators.Linear(lambda x, code: (x * code).sum(-1), SHAPE, jax.random.normal(KEY, (8, 8, 1))),
    "Nonlinear": operators.Nonlinear(lambda x, gain: jnp.tanh(gain * x), SHAPE, 2.0),
    "OperatorBase": Vignette(jax.random.uniform(KEY, (8, 8, 1)), SHAPE),
    "Composed": operators.SuperResolution(SHAPE, 2) @ operators.GaussianBlur(SHAPE, 5, 1.0),
    "Stacked": operators.Stacked((operators.SuperResolution(SHAPE, 2), operators.PhaseRetrieval(SHAPE))),
}
NOISES = {
    "GaussianNoise": jr.GaussianNoise(0.1),
    "JPEGNoise": jr.JPEGNoise(50),
    "PoissonNoise": jr.PoissonNoise(1.0),
    "PoissonGaussianNoise": jr.PoissonGaussianNoise(1.0, 0.1),
    "SaltAndPepperNoise": jr.SaltAndPepperNoise(0.1),
    "SpeckleNoise": jr.SpeckleNoise(0.1),
    "NoNoise": jr.NoNoise(),
}
GRID = np.linspace(-1, 1, 21)
PRIORS = {
    "GaussianMixture": random_mixture(shape=SHAPE),
    "MarkovChainPrior": jr.priors.MarkovChainPrior.from_steps(8, GRID, jr.priors.sparse_steps(GRID, 0.3, 0.2)),
    "NetworkPrior": None,
    "SelfEnsemble": jr.priors.SelfEnsemble(random_mixture(shape=SHAPE), 4),
    "TiledPrior": jr.priors.TiledPrior(random_mixture(shape=SHAPE), tile=8, overlap=3),
}  # the network comes from its fixture

PRIOR = isotropic(SHAPE)
BLURRED = jr.Degradation(operators.GaussianBlur(SHAPE, 5, 1.0), jr.GaussianNoise(0.05))
# RePaint takes measurements for exact, so it is not asked to invert a blur.
OTHERS = {"repaint": jr.Degradation(OPERATORS["Inpainting"], jr.GaussianNoise(0.05))}
COMBINATORS = {"mean_of", "coarse_to_fine"}  # make a sampler from another


def degraded(name):
    """What a sampler is asked to undo, and a measurement."""
    degradation = OTHERS.get(name, BLURRED)
    return degradation, degradation.measure(jax.random.key(1), 0.5 * jax.random.normal(jax.random.key(2), SHAPE))


@functools.cache
def jitted(name):
    """Compiled once for all facts about a sampler."""
    return jax.jit(SAMPLERS[name].sample)


@functools.cache
def plain(name):
    """One run, which others are compared with."""
    return jitted(name)(KEY, PRIOR, *degraded(name))


def test_no_newcomer_is_missing():
    functions = {n: f for n, f in vars(jr).items() if inspect.isfunction(f)}
    makers = {n for n, f in functions.items() if f.__annotations__.get("return") is jr.Sampler}
    assert makers - COMBINATORS == set(SAMPLERS)
    assert {row.factory.__name__ for row in jr.METHODS.values()} == set(SAMPLERS) == set(jr.METHODS)
    classes = {n for n, c in vars(operators).items() if inspect.isclass(c) and n not in ("Operator", "SVD")}
    assert classes == set(OPERATORS)
    assert {n for n, c in vars(jr).items() if n.endswith("Noise") and inspect.isclass(c)} == set(NOISES)
    assert {n for n, c in vars(jr.priors).items() if hasattr(c, "denoise") and n != "Prior"} == set(PRIORS)


@pytest.mark.parametrize("name", SAMPLERS)
class TestSamplers:
    def test_every_step_has_diagnostics(self, name):
        info = plain(name).info
        assert all(a.shape[0] == SAMPLERS[name].num_steps for a in jax.tree.leaves(info))
        assert np.isfinite(info.residual).all()

    def test_same_key_same_result_and_another_key_another(self, name):
        first = plain(name).image
        inputs = (PRIOR, *degraded(name))
        np.testing.assert_array_equal(first, jitted(name)(KEY, *inputs).image)
        assert not np.allclose(first, jitted(name)(jax.random.key(8), *inputs).image, atol=1e-3)

    def test_the_state_keeps_its_structure_and_dtypes(self, name):
        sampler, inputs = SAMPLERS[name], (PRIOR, *degraded(name))
        state = jax.eval_shape(sampler.init, KEY, *inputs)
        advanced, _ = jax.eval_shape(sampler.step, state, *inputs)
        describe = lambda s: jax.tree.map(lambda a: (a.shape, a.dtype), s)  # noqa: E731
        assert describe(state) == describe(advanced)
        assert state.x.dtype == inputs[2].dtype
        assert state.x0.shape == SHAPE
        assert state.index.dtype == jnp.int32
        assert batch_axes(state).index is None

    def test_one_loop_whatever_the_number_of_steps(self, name):
        """The program does not grow with the number of steps; only the tables' digits and lengths differ."""
        factory = vars(jr)[name]

        def size(steps):
            sample = factory(**{jr.METHODS[name].length: steps}).sample
            program = jax.make_jaxpr(sample)(KEY, PRIOR, *degraded(name)).jaxpr
            return len(program.pretty_print(use_color=False).splitlines())

        assert abs(size(100) - size(10)) <= 3

    def test_a_wrong_measurement_is_refused(self, name):
        sample, (degradation, _) = SAMPLERS[name].sample, degraded(name)
        with pytest.raises(ValueError, match=r"y has shape \(2, 8, 8, 3\), expected \(8, 8, 3\); for a batch use"):
            sample(KEY, PRIOR, degradation, jnp.zeros((2, 8, 8, 3)))
        with pytest.raises(TypeError, match="y has dtype uint8"):
            sample(KEY, PRIOR, degradation, jnp.zeros(SHAPE, jnp.uint8))
        with pytest.raises(ValueError, match="record_every is 7, expected at most num_steps = 6"):
            sample(KEY, PRIOR, *degraded(name), record_every=7)


OF_EACH_STATE = ("spgd", "dpps", "daps", "reddiff", "repaint")


@pytest.mark.parametrize("name", by_default(SAMPLERS, (*OF_EACH_STATE, "mmps", "ddrm")))
def test_vmap_equals_loop_so_batch_mates_do_not_change_an_image(name):
    sample, (degradation, y) = jitted(name), degraded(name)
    keys = jax.random.split(KEY, 3)
    ys = jnp.stack([y, -y, 3 * y])
    together = jax.vmap(sample, in_axes=(0, None, None, 0))(keys, PRIOR, degradation, ys)
    for i in range(3):
        alone = sample(keys[i], PRIOR, degradation, ys[i])
        np.testing.assert_allclose(together.image[i], alone.image, atol=1e-4)
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-3, atol=1e-3), together.info, alone.info
        )


@pytest.mark.parametrize("name", by_default(SAMPLERS, OF_EACH_STATE))
def test_two_halves_equal_one_run(name):
    sampler, inputs = SAMPLERS[name], (PRIOR, *degraded(name))
    state = sampler.init(KEY, *inputs)
    for _ in range(2):
        state, _ = jax.jit(sampler.advance, static_argnums=4)(state, *inputs, sampler.num_steps // 2)
    np.testing.assert_allclose(state.x, plain(name).image, atol=1e-5)


@pytest.mark.parametrize("name", by_default(SAMPLERS, ("spgd", "dpps", "daps")))
def test_jit_equals_eager(name):
    np.testing.assert_allclose(SAMPLERS[name].sample(KEY, PRIOR, *degraded(name)).image, plain(name).image, atol=1e-4)


@pytest.mark.parametrize("name", by_default(SAMPLERS, ("spgd", "dps", "repaint")))
def test_what_lies_under_a_mask_does_not_count(name):
    """Holes may be black, grey, not a number, or still hold the object: one by one and in a batch."""
    degradation = OTHERS["repaint"]
    y = degradation.measure(jax.random.key(1), 0.5 * jax.random.normal(jax.random.key(2), SHAPE))
    known = np.asarray(degradation.operator.mask) != 0
    holes = [jnp.where(known, y, filling) for filling in (0.0, -1.0, jax.random.normal(KEY, SHAPE), jnp.nan)]
    clean, *others = (jitted(name)(KEY, PRIOR, degradation, h).image for h in holes)
    for image in others:
        np.testing.assert_array_equal(image, clean)
    if name == "dps":
        batch = jr.restore(SAMPLERS[name], PRIOR, degradation, jnp.stack([holes[1], holes[1]]), key=KEY)
        again = jr.restore(SAMPLERS[name], PRIOR, degradation, jnp.stack([holes[0], holes[0]]), key=KEY)
        np.testing.assert_array_equal(batch, again)


RECORDED = [("spgd", 2), ("spgd", 4), ("dpps", 4), ("reddiff", 3)]  # one of each kind of state
REST = [pytest.param(name, 2, marks=pytest.mark.slow) for name in SAMPLERS if name not in dict(RECORDED)]


@pytest.mark.parametrize(("name", "every"), [*RECORDED, *REST])
def test_recording_shows_the_run_and_does_not_change_it(name, every):
    """The loop that all samplers share."""
    recorded = jax.jit(SAMPLERS[name].sample, static_argnames="record_every")(
        KEY, PRIOR, *degraded(name), record_every=every
    )
    np.testing.assert_allclose(recorded.image, plain(name).image, atol=1e-5)
    np.testing.assert_allclose(recorded.info.residual, plain(name).info.residual, rtol=1e-4)
    np.testing.assert_array_equal(recorded.recording.index, np.arange(every, 7, every))
    if 6 % every == 0:
        np.testing.assert_array_equal(recorded.recording.x[-1], recorded.image)
    assert recorded.recording.x0.shape == (6 // every, *SHAPE)


@pytest.mark.parametrize("name", OPERATORS)
class TestOperators:
    def test_is_a_pytree_that_survives_jit_and_vmap(self, name):
        operator = OPERATORS[name]
        x = 0.5 * jax.random.normal(KEY, (3, *operator.image_shape))
        together = jax.jit(jax.vmap(lambda op, x: op(x), in_axes=(None, 0)))(operator, x)
        alone = jax.jit(lambda op, x: op(x))
        for i in range(3):
            np.testing.assert_allclose(together[i], alone(operator, x[i]), atol=1e-5)

    def test_knows_its_shapes(self, name):
        operator = OPERATORS[name]
        shape = operator.image_shape
        assert shape == ((128, 128, 3) if name == "NonlinearBlur" else SHAPE)
        assert operator(jnp.zeros(shape)).shape == operator.measurement_shape
        assert isinstance(operator, operators.Operator)

    def test_is_immutable(self, name):
        field = dataclasses.fields(OPERATORS[name])[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(OPERATORS[name], field, None)

    def test_static_fields_hash_so_that_programs_are_reused(self, name):
        operator = OPERATORS[name]
        leaves, structure = jax.tree.flatten(operator)
        assert isinstance(hash(structure), int)
        assert jax.tree.unflatten(structure, leaves).image_shape == operator.image_shape

    def test_gradients_are_finite(self, name):
        operator = OPERATORS[name]
        gradient = jax.jit(jax.grad(lambda x: jnp.sum(operator(x) ** 2)))
        for x in (jnp.zeros(operator.image_shape), jax.random.normal(KEY, operator.image_shape)):
            assert np.isfinite(gradient(x)).all()


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_keyed_finite_and_traceable(name):
    y = jax.random.uniform(KEY, (16, 16, 3), minval=-1)
    a, b = jax.jit(lambda n, k: n(k, y))(NOISES[name], KEY), NOISES[name](KEY, y)
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert a.shape == y.shape
    assert np.isfinite(a).all()


@pytest.mark.parametrize("name", PRIORS)
def test_priors_denoise_one_image_and_vmap(name, adm_tiny):
    prior = PRIORS[name] or adm_tiny
    assert isinstance(prior, jr.priors.Prior)
    x = jax.random.normal(KEY, (2, *(prior.image_shape if name == "MarkovChainPrior" else SHAPE)))
    alone = jax.jit(lambda prior, x: prior.denoise(x, 0.5))
    together = jax.jit(jax.vmap(alone, in_axes=(None, 0)))(prior, x)
    for i in range(2):
        np.testing.assert_allclose(together[i], alone(prior, x[i]), rtol=1e-3, atol=1e-3)
