"""A Gaussian mixture: a prior whose denoiser and posteriors are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore._pytree import pytree
from jaxrestore.degradation import Degradation
from jaxrestore.noise import GaussianNoise
from jaxrestore.priors._base import Prediction, predict_from_denoiser
from jaxrestore.schedules import DDPMSchedule


@pytree
class GaussianMixture:
    """sum_k weights_k N(means_k, V_k diag(variances_k) V_k^T) over images.

    For tests, teaching, and for judging samplers: `denoise` is the exact posterior mean at any noise level, `posterior`
    the exact posterior of a linear measurement with Gaussian noise. Covariances are kept by their eigenvectors, so a
    noise level costs no factorisation. For small images: the eigenvectors take (H W C)^2 numbers a component.
    """

    weights: jax.Array  # (K,), positive, sum to 1
    means: jax.Array  # (K, H, W, C)
    variances: jax.Array  # (K, D), D = H W C, not negative: eigenvalues of the covariances
    bases: jax.Array | None = None  # (K, D, D), eigenvectors in columns; None: covariances are diagonal

    @classmethod
    def from_covariances(
        cls, weights: jax.typing.ArrayLike, means: jax.typing.ArrayLike, covariances: jax.typing.ArrayLike
    ) -> "GaussianMixture":
        """A mixture from weights (K,), means (K, H, W, C) and full covariances (K, D, D).

        Raises:
          ValueError: If the shapes do not fit, a weight is negative, or a covariance is not symmetric and positive
            semidefinite.
        """
        w, m, c = (np.asarray(a, np.float64) for a in (weights, means, covariances))
        dim = int(np.prod(m.shape[1:]))
        if m.ndim != 4 or w.shape != (len(m),) or c.shape != (len(m), dim, dim):
            raise ValueError(
                f"shapes of weights {w.shape}, means {m.shape} and covariances {c.shape} do not fit; "
                "expected (K,), (K, H, W, C) and (K, D, D) with D = H W C"
            )
        if not (w >= 0).all() or w.sum() == 0:
            raise ValueError(f"weights are {w}, expected positive numbers")
        values, vectors = np.linalg.eigh(c)
        scale = np.abs(c).max()
        if not np.allclose(c, c.swapaxes(1, 2), atol=1e-6 * scale) or values.min() < -1e-6 * scale:
            raise ValueError(f"a covariance is not symmetric and positive semidefinite (eigenvalue {values.min():g})")
        arrays = (w / w.sum(), m, np.maximum(values, 0.0), vectors)
        return cls(*(jnp.asarray(a) for a in arrays))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return _checks.image_shape("the shape of one mean", self.means.shape[1:])

    def denoise(self, x: jax.Array, sigma: jax.Array) -> jax.Array:
        """E[x0 | x] for x = x0 + sigma n, exactly; x (H, W, C), sigma a positive scalar."""
        log_joint, z, noisy = self._log_joint(x, sigma)
        share = jax.nn.softmax(log_joint)
        means, variances = like(x, self.means), like(x, self.variances)
        denoised = means.reshape(len(means), -1) + self._rotate(variances / noisy * z, back=True)
        return (share @ denoised).reshape(x.shape)

    def log_density(self, x: jax.Array, sigma: jax.typing.ArrayLike = 0.0) -> jax.Array:
        """The logarithm of the density of x = x0 + sigma n, (): `denoise` is x + sigma^2 times its gradient (Tweedie).

        At sigma = 0, the mixture's own, all variances must be positive.
        """
        log_joint, z, _ = self._log_joint(x, sigma)
        return jax.nn.logsumexp(log_joint) - 0.5 * z.shape[1] * np.log(2 * np.pi)

    def _log_joint(self, x: jax.Array, sigma: jax.typing.ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
        """log(weights_k N(x; ...)) up to one constant, (K,), with x in the eigenvectors and the variances, (K, D)."""
        _checks.array("x", x, self.image_shape)
        weights, means, variances = (like(x, a) for a in (self.weights, self.means, self.variances))
        noisy = variances + jnp.square(like(x, sigma))
        z = self._rotate((x - means).reshape(len(means), -1))
        log_density = -0.5 * (jnp.square(z) / noisy + jnp.log(noisy)).sum(1)
        return jnp.log(weights) + log_density, z, noisy

    def predict(self, x_t: jax.Array, t: jax.Array, schedule: DDPMSchedule) -> Prediction:
        """The reverse step at index `t` of `schedule`, with variance beta_tilde."""
        return predict_from_denoiser(self.denoise, x_t, t, schedule)

    def sample(self, key: jax.Array) -> jax.Array:
        """One image (H, W, C)."""
        key_component, key_noise = jax.random.split(key)
        k = jax.random.categorical(key_component, jnp.log(self.weights))
        z = jnp.sqrt(self.variances) * jax.random.normal(key_noise, self.variances.shape, self.variances.dtype)
        return self.means[k] + self._rotate(z, back=True)[k].reshape(self.means.shape[1:])

    def mean(self) -> jax.Array:
        """Mean over all components, (H, W, C)."""
        return jnp.tensordot(self.weights, self.means, 1)

    def covariance(self) -> jax.Array:
        """Covariance over all components, (D, D)."""
        centred = (self.means - self.mean()).reshape(len(self.means), -1)
        within = jnp.einsum("k,kij->ij", self.weights, like(self.weights, self._covariances()))
        return within + jnp.einsum("k,ki,kj->ij", self.weights, centred, centred)

    def posterior(self, degradation: Degradation, y: jax.Array) -> "GaussianMixture":
        """The exact posterior given y = A x + std n, itself a Gaussian mixture; in float64 NumPy, not traceable.

        Raises:
          TypeError: If the operator is not linear or the noise not Gaussian: then the posterior is no Gaussian mixture.
          ValueError: If the shapes do not fit, or the noise is zero.
        """
        operator, noise = degradation.operator, degradation.noise
        if not operator.linear:
            raise TypeError(f"{type(operator).__name__} is not linear, so the posterior is no Gaussian mixture")
        if not isinstance(noise, GaussianNoise):
            raise TypeError(f"noise is {type(noise).__name__}, expected GaussianNoise")
        _checks.positive("noise.std", noise.std)
        _checks.array("y", y, degradation.measurement_shape)
        if operator.image_shape != self.image_shape:
            raise ValueError(f"the operator takes images {operator.image_shape}, the mixture has {self.image_shape}")
        matrix = dense_matrix(operator)
        data, count = np.asarray(y, np.float64).ravel(), len(self.means)
        means = np.asarray(self.means, np.float64).reshape(count, -1)
        logs, new_means, covariances = [], [], []
        for weight, mean, prior in zip(np.asarray(self.weights, np.float64), means, self._covariances(), strict=True):
            cross = prior @ matrix.T
            evidence = matrix @ cross + float(np.asarray(noise.std)) ** 2 * np.eye(len(data))
            misfit = data - matrix @ mean
            gain = np.linalg.solve(evidence, cross.T).T
            logs.append(
                np.log(weight) - 0.5 * (misfit @ np.linalg.solve(evidence, misfit) + np.linalg.slogdet(evidence)[1])
            )
            new_means.append(mean + gain @ misfit)
            covariance = prior - gain @ cross.T
            covariances.append((covariance + covariance.T) / 2)
        weights = np.exp(np.array(logs) - np.max(logs))
        return GaussianMixture.from_covariances(
            weights, np.array(new_means).reshape(self.means.shape), np.array(covariances)
        )

    def _covariances(self) -> np.ndarray:
        """(K, D, D), float64."""
        values = np.asarray(self.variances, np.float64)
        if self.bases is None:
            return np.stack([np.diag(v) for v in values])
        bases = np.asarray(self.bases, np.float64)
        return np.einsum("kij,kj,klj->kil", bases, values, bases)

    def _rotate(self, z: jax.Array, *, back: bool = False) -> jax.Array:
        """(K, D) into the eigenvectors' coordinates, or back."""
        if self.bases is None:
            return z
        return jnp.einsum("kij,kj->ki" if back else "kji,kj->ki", like(z, self.bases), z, precision="highest")


def dense_matrix(operator) -> np.ndarray:
    """A linear operator as a (measurement size, image size) matrix, float64; for small images."""
    basis = jnp.eye(int(np.prod(operator.image_shape))).reshape(-1, *operator.image_shape)
    columns = np.asarray(jax.vmap(operator)(basis), np.float64)
    return columns.reshape(len(basis), -1).T
