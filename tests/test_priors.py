import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import network as larger_network
from conftest import random_mixture, run_unet

import jaxrestore as jr
from jaxrestore import schedules
from jaxrestore.priors import PriorError
from jaxrestore.priors.checkpoint import cast_params
from jaxrestore.priors.mixture import dense_matrix

# Of one resolution: what surrounds the network is tested here.
network = functools.partial(larger_network, channel_mult=(1,))


class TestNetworkPrior:
    def test_both_parametrizations_return_the_image_where_there_is_no_noise(self):
        x = jax.random.uniform(jax.random.key(0), (8, 8, 3), minval=-1)
        for form in ("vp", "edm"):
            np.testing.assert_allclose(jax.jit(network(form).denoise)(x, 1e-4), x, atol=2e-3)

    @pytest.mark.slow
    def test_the_vp_form_is_the_published_formula(self):
        """x0 = x - sigma F(x / sqrt(sigma^2 + 1), t(sigma)), and eps = F(x_t, t) on the network's own clock."""
        prior, schedule = network("vp", out_channels=6), schedules.ddpm(10)
        x, sigma = jax.random.normal(jax.random.key(0), (8, 8, 3)), 0.7

        def net(x, t):
            return run_unet(prior.config, prior.params, x[None], jnp.array([t], jnp.float32))[0, ..., :3]

        expected = x - sigma * net(x / np.sqrt(sigma**2 + 1), schedules.vp_timestep(sigma))
        np.testing.assert_allclose(jax.jit(prior.denoise)(x, sigma), expected, atol=1e-4)
        np.testing.assert_allclose(
            prior.predict(x, jnp.int32(4), schedule).eps, net(x, schedule.timesteps[4]), atol=1e-4
        )

    @pytest.mark.parametrize("form", ["vp", "edm"])
    def test_predicted_noise_and_image_make_up_the_state(self, form):
        prior, schedule = network(form), schedules.ddpm(10)
        x_t, t = jax.random.normal(jax.random.key(0), (8, 8, 3)), 3
        prediction = jax.jit(prior.predict, static_argnums=2)(x_t, jnp.int32(t), schedule)
        again = np.sqrt(schedule.abar[t]) * prediction.x0 + np.sqrt(1 - schedule.abar[t]) * prediction.eps
        np.testing.assert_allclose(again, x_t, atol=1e-4)

    def test_a_fixed_variance_is_beta_tilde_and_a_learned_one_lies_in_its_range(self):
        schedule, x_t = schedules.ddpm(10), jnp.ones((8, 8, 3))
        fixed = network().predict(x_t, jnp.int32(3), schedule).log_variance
        np.testing.assert_allclose(fixed, schedule.posterior_log_variance[3], rtol=1e-5)
        learned = network(out_channels=6).predict(x_t, jnp.int32(3), schedule).log_variance
        assert learned.shape == x_t.shape
        assert np.ptp(learned) > 0

    def test_a_cosine_network_follows_its_own_clock(self):
        schedule = schedules.ddpm(50, kind="cosine")
        prior = dataclasses.replace(network("vp", out_channels=6), noise_schedule="cosine")
        x = jax.random.normal(jax.random.key(1), (8, 8, 3))
        abar, t = float(schedule.abar[20]), jnp.float32(schedule.timesteps[20])
        eps = run_unet(prior.config, prior.params, x[None], t[None])[0, ..., :3]
        prediction = prior.predict(x, jnp.int32(20), schedule)
        np.testing.assert_allclose(prediction.eps, eps, atol=1e-4)
        x0 = prior.denoise(x / np.sqrt(abar), jnp.sqrt((1 - abar) / abar))
        np.testing.assert_allclose(prediction.x0, x0, atol=1e-3)

    @pytest.mark.parametrize(
        ("kind", "clock", "schedule"),
        [
            ("linear", schedules.vp_timestep, schedules.ddpm(50, kind="cosine")),
            ("cosine", schedules.cosine_timestep, schedules.ddpm(50)),
            ("linear", schedules.vp_timestep, schedules.ddpm(50, base_steps=100)),  # a process of another length
        ],
    )
    def test_a_network_under_the_schedule_of_another_keeps_its_own_clock(self, kind, clock, schedule):
        """The timestep is that of the noise level in the network's own process, whatever the sampler walks."""
        prior = dataclasses.replace(network("vp", out_channels=6), noise_schedule=kind)
        x, t = jax.random.normal(jax.random.key(1), (8, 8, 3)), 20
        timestep = clock(np.sqrt((1 - schedule.abar[t]) / schedule.abar[t]))
        assert abs(float(timestep) - schedule.timesteps[t]) > 30
        eps = run_unet(prior.config, prior.params, x[None], timestep[None])[0, ..., :3]
        np.testing.assert_allclose(prior.predict(x, jnp.int32(t), schedule).eps, eps, atol=1e-3)

    def test_a_class_label_is_used(self):
        prior, x = network(num_classes=4), jnp.ones((8, 8, 3))
        a, b = (dataclasses.replace(prior, label=jnp.int32(i)).denoise(x, 1.0) for i in (0, 3))
        assert not np.allclose(a, b)

    def test_a_batch_is_refused_with_the_mend(self):
        with pytest.raises(ValueError, match=r"expected one image \(H, W, 3\); for a batch use jax.vmap"):
            network().denoise(jnp.ones((2, 8, 8, 3)), 1.0)

    def test_the_network_is_an_argument_not_a_constant(self):
        prior = network()
        text = jax.jit(lambda p, x: p.denoise(x, 1.0)).lower(prior, jnp.ones((8, 8, 3))).as_text()
        assert len(text) < 4 * sum(a.size for a in prior.params.values())


class TestCheckpoint:
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_round_trip(self, tmp_path, dtype):
        prior = network("edm")
        stored = dataclasses.replace(prior, params=cast_params(prior.params, dtype))
        loaded = jr.load_prior(jr.save_prior(tmp_path / "p", stored, info={"licence": "CC0"}))
        assert loaded.config == prior.config
        assert loaded.parametrization == "edm"
        assert json.loads((tmp_path / "p" / "prior.json").read_text())["info"] == {"licence": "CC0"}
        for name, a in stored.params.items():
            assert loaded.params[name].dtype == jnp.float32
            np.testing.assert_array_equal(loaded.params[name], a.astype(jnp.float32))

    def test_an_existing_folder_is_kept(self, tmp_path):
        (tmp_path / "p").mkdir()
        with pytest.raises(FileExistsError, match="exists"):
            jr.save_prior(tmp_path / "p", network())

    def test_overwriting_replaces_the_folder_whole(self, tmp_path):
        jr.save_prior(tmp_path / "p", network("vp"))
        jr.save_prior(tmp_path / "p", network("edm"), overwrite=True)
        assert jr.load_prior(tmp_path / "p").parametrization == "edm"
        assert [p.name for p in tmp_path.iterdir()] == ["p"]

    def test_a_folder_of_other_things_is_never_replaced(self, tmp_path):
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.png").touch()
        with pytest.raises(FileExistsError, match="photos is a folder of other things than weights"):
            jr.save_prior(tmp_path / "photos", network(), overwrite=True)
        assert (tmp_path / "photos" / "a.png").exists()

    def test_a_failed_save_leaves_nothing(self, tmp_path):
        prior = network()
        params = {name: a for name, a in prior.params.items() if not name.startswith("conv_out")}
        params["extra"] = jnp.ones(3)
        with pytest.raises(PriorError, match="missing conv_out.bias; missing conv_out.kernel; unexpected extra"):
            jr.save_prior(tmp_path / "p", dataclasses.replace(prior, params=params))
        assert list(tmp_path.iterdir()) == []

    def test_non_finite_and_misshapen_parameters_are_refused(self, tmp_path):
        prior = network()
        params = {**prior.params, "conv_out.bias": jnp.full(3, jnp.nan), "norm_out.bias": jnp.ones(5)}
        with pytest.raises(
            PriorError, match=r"conv_out.bias has values .*norm_out.bias has shape \(5,\), expected \(32,\)"
        ):
            jr.save_prior(tmp_path / "p", dataclasses.replace(prior, params=params))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"version": 99}, "version 99, this release reads 1"),
            ({"format": "other"}, "format 'other'"),
            ({"sha256": "0"}, "recorded checksum"),
        ],
    )
    def test_a_changed_header_is_noticed(self, tmp_path, change, message):
        path = jr.save_prior(tmp_path / "p", network())
        header = json.loads((path / "prior.json").read_text())
        (path / "prior.json").write_text(json.dumps({**header, **change}))
        with pytest.raises(PriorError, match=message):
            jr.load_prior(path)

    def test_a_damaged_checkpoint_is_noticed(self, tmp_path):
        path = jr.save_prior(tmp_path / "p", network())
        largest = max((f for f in (path / "params").rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
        with pytest.raises(PriorError):
            jr.load_prior(path)

    def test_an_unknown_name_lists_the_bundled_priors(self):
        with pytest.raises(PriorError, match="bundled priors: photo"):
            jr.load_prior("nothing_here")


class TestGaussianMixture:
    def test_denoiser_is_the_score_of_the_noisy_density(self):
        """Tweedie: D(x, sigma) = x + sigma^2 grad log p_sigma(x)."""
        mixture, sigma = random_mixture(), 0.7
        covariances = np.asarray(mixture._covariances(), np.float32)

        def log_density(x):
            terms = [
                jnp.log(w)
                + jax.scipy.stats.multivariate_normal.logpdf(x.ravel(), m.ravel(), c + sigma**2 * np.eye(len(c)))
                for w, m, c in zip(mixture.weights, mixture.means, covariances, strict=True)
            ]
            return jax.nn.logsumexp(jnp.stack(terms))

        x = jax.random.normal(jax.random.key(0), (4, 4, 3))
        np.testing.assert_allclose(
            mixture.denoise(x, sigma), x + sigma**2 * jax.grad(log_density)(x), rtol=1e-3, atol=1e-4
        )
        np.testing.assert_allclose(mixture.log_density(x, sigma), log_density(x), rtol=1e-5)

    def test_denoiser_is_the_posterior_mean_of_the_denoising_task(self):
        mixture, sigma = random_mixture(), 0.3
        degradation = jr.Degradation(jr.operators.Denoising((4, 4, 3)), jr.GaussianNoise(sigma))
        x = mixture.sample(jax.random.key(3)) + sigma * jax.random.normal(jax.random.key(4), (4, 4, 3))
        np.testing.assert_allclose(mixture.denoise(x, sigma), mixture.posterior(degradation, x).mean(), atol=1e-4)

    @pytest.mark.slow
    def test_posterior_agrees_with_importance_sampling(self):
        mixture = random_mixture()
        degradation = jr.Degradation(jr.operators.SuperResolution((4, 4, 3), 4), jr.GaussianNoise(0.3))
        y = degradation.measure(jax.random.key(1), mixture.sample(jax.random.key(2)))
        x = jax.vmap(mixture.sample)(jax.random.split(jax.random.key(5), 100_000))
        misfit = jax.vmap(degradation.operator)(x) - y
        weights = jax.nn.softmax(-0.5 * jnp.sum(jnp.square(misfit), (1, 2, 3)) / 0.3**2)
        effective = 1 / jnp.sum(weights**2)
        estimate = jnp.tensordot(weights, x, 1)
        # Six standard errors of the weighted mean; the widest pixel has a standard deviation of about 0.6.
        np.testing.assert_allclose(
            mixture.posterior(degradation, y).mean(), estimate, atol=6 * 0.6 / np.sqrt(effective)
        )

    def test_diagonal_and_full_covariances_are_the_same_prior(self):
        rng = np.random.default_rng(0)
        variances, means = rng.uniform(0.1, 1, (2, 12)), rng.standard_normal((2, 2, 2, 3))
        diagonal = jr.priors.GaussianMixture(
            jnp.array([0.3, 0.7]), jnp.asarray(means, jnp.float32), jnp.asarray(variances, jnp.float32)
        )
        full = jr.priors.GaussianMixture.from_covariances([0.3, 0.7], means, np.stack([np.diag(v) for v in variances]))
        x = jax.random.normal(jax.random.key(0), (2, 2, 3))
        np.testing.assert_allclose(diagonal.denoise(x, 0.5), full.denoise(x, 0.5), atol=1e-5)

    def test_samples_have_the_mean_and_covariance(self):
        mixture = random_mixture(shape=(2, 2, 1))
        x = np.asarray(jax.vmap(mixture.sample)(jax.random.split(jax.random.key(0), 50_000))).reshape(50_000, -1)
        np.testing.assert_allclose(x.mean(0), mixture.mean().ravel(), atol=0.015)  # 5 standard errors
        np.testing.assert_allclose(np.cov(x.T), mixture.covariance(), atol=0.02)

    def test_dense_matrix_is_the_operator(self):
        operator = jr.operators.GaussianBlur((4, 4, 3), 3, 1.0)
        x = jax.random.normal(jax.random.key(0), (4, 4, 3))
        np.testing.assert_allclose(dense_matrix(operator) @ x.ravel(), operator(x).ravel(), atol=1e-5)

    def test_posteriors_that_are_no_mixture_are_refused(self):
        mixture, shape = random_mixture(), (4, 4, 3)
        with pytest.raises(TypeError, match="HighDynamicRange is not linear"):
            mixture.posterior(
                jr.Degradation(jr.operators.HighDynamicRange(shape), jr.GaussianNoise(0.1)), jnp.ones(shape)
            )
        with pytest.raises(TypeError, match="expected GaussianNoise"):
            mixture.posterior(jr.Degradation(jr.operators.Denoising(shape), jr.PoissonNoise(1.0)), jnp.ones(shape))

    def test_shapes_that_do_not_fit_are_refused(self):
        with pytest.raises(ValueError, match="do not fit"):
            jr.priors.GaussianMixture.from_covariances([1.0], np.zeros((1, 2, 2, 3)), np.zeros((1, 4, 4)))


class TestSelfEnsemble:
    @pytest.mark.slow
    def test_is_the_mean_over_mirror_images(self):
        prior, x = random_mixture(shape=(4, 6, 3)), jax.random.normal(jax.random.key(0), (4, 6, 3))
        expected = (prior.denoise(x, 0.4) + prior.denoise(x[:, ::-1], 0.4)[:, ::-1]) / 2
        np.testing.assert_allclose(jr.priors.SelfEnsemble(prior, 2).denoise(x, 0.4), expected, atol=1e-6)
        four = jr.priors.SelfEnsemble(prior, 4)
        np.testing.assert_allclose(four.denoise(x[::-1], 0.4), four.denoise(x, 0.4)[::-1], atol=1e-6)
        schedule = jr.schedules.ddpm(10)
        mirrored = four.predict(x[:, ::-1], jnp.int32(5), schedule)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b[:, ::-1], atol=1e-5),
            mirrored,
            four.predict(x, jnp.int32(5), schedule),
        )

    def test_other_numbers_of_copies_are_refused(self):
        with pytest.raises(ValueError, match="copies is 3, expected one of 1, 2, 4"):
            jr.priors.SelfEnsemble(random_mixture(shape=(4, 4, 3)), 3)
