"""Shared pieces: golden numbers, and small priors."""

import atexit
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrestore as jr
from convert_weights.guided_diffusion import convert
from jaxrestore.priors import GaussianMixture, NetworkPrior, UNetConfig
from jaxrestore.priors.network import abstract_params, apply_unet

# Compilation dominates single examples here, so no deadline; the same examples every time.
hypothesis.settings.register_profile("jaxrestore", deadline=None, max_examples=15, derandomize=True)
hypothesis.settings.load_profile("jaxrestore")

# Compiling is most of the suite's work. What LLVM optimises is speed, which no test asserts, the older emitters of fused
# loops take half the time to compile, and one piece for each program is enough where two processes use two cores. Flags
# of yours prevail: `XLA_FLAGS="--xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=true" pytest` is what
# users run. Many tests compile the same programs in objects of their own; pytest's processes share the first one's cache.
QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
if "PYTEST_XDIST_WORKER" not in os.environ:
    with_flags = os.environ | {"XLA_FLAGS": f"{QUICK_TO_COMPILE} {os.environ.get('XLA_FLAGS', '')}".strip()}
    # A flag that a later jaxlib does not know ends the process, so another one tries them.
    if not subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"], env=with_flags, capture_output=True
    ).returncode:
        os.environ |= with_flags
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxrestore-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # small programs are most of them

# The benchmarks are not installed. Last on the path, so that the packages tested are the installed ones.
sys.path.append(str(pathlib.Path(__file__).parent.parent))

DATA = pathlib.Path(__file__).parent / "data"

ADM_TINY = UNetConfig(
    out_channels=6,
    model_channels=32,
    channel_mult=(1, 2, 2),
    num_res_blocks=1,
    attention_resolutions=(2,),
    num_head_channels=16,
)


SMALL = UNetConfig(model_channels=32, channel_mult=(1, 2), num_res_blocks=1)
# Eager, each of their operations would be compiled alone.
run_unet = jax.jit(apply_unet, static_argnums=0)
motion_kernel = jax.jit(jr.operators.motion_kernel, static_argnums=1)


def randomised(config: UNetConfig, seed: int = 0) -> dict[str, jax.Array]:
    """Parameters without the zeros that published initialisations start from, which would hide half of the network."""
    rng = np.random.default_rng(seed)
    return {
        name: jnp.asarray(0.1 * rng.standard_normal(a.shape) + (name.endswith("scale")), jnp.float32)
        for name, a in abstract_params(config).items()
    }


def network(parametrization="vp", **fields) -> NetworkPrior:
    """A small network with random parameters, `fields` of its configuration changed."""
    config = dataclasses.replace(SMALL, **fields)
    return NetworkPrior(randomised(config), config=config, parametrization=parametrization)


def smallest_network(**fields) -> NetworkPrior:
    """Of one resolution, for tests of what surrounds a network."""
    return network("edm", channel_mult=(1,), **fields)


def by_default(names, quick, *, several: bool = False) -> list:
    """Parameters: those in `quick` by default, the others of `names` under the slow mark; `several` for each case."""
    return [
        name if name in quick else pytest.param(*(name if several else (name,)), marks=pytest.mark.slow)
        for name in names
    ]


class Golden:
    """Numbers of the published PyTorch code; images turned channels last."""

    def __init__(self, name: str) -> None:
        self._stored = np.load(DATA / f"{name}.npz")
        self.config = json.loads(str(self._stored["config"]))

    def __contains__(self, key: str) -> bool:
        return key in self._stored

    def raw(self, key: str) -> np.ndarray:
        return self._stored[key]

    def kernel(self, key: str) -> jax.Array:
        """A blur kernel as this library means it: the published code correlates, which is convolution turned round."""
        return jnp.asarray(self._stored[key][::-1, ::-1])

    def __getitem__(self, key: str) -> jax.Array:
        return jnp.asarray(np.moveaxis(self._stored[key], -3, -1))


def relative_error(a, b) -> float:
    """||a - b|| / ||b|| over all numbers."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def golden_operator(golden: Golden, task: str, shape=(32, 32, 3)):
    """The operator of a golden trajectory."""
    if task in ("down_sampling_x4", "super_resolution_x4"):
        return jr.operators.SuperResolution(shape, 4)
    if task == "gaussian_blur_9_1.5":
        return jr.operators.GaussianBlur(shape, 9, 1.5)
    if task == "inpainting_random":
        return jr.operators.Inpainting(golden["mask"][0])
    if task == "high_dynamic_range":
        return jr.operators.HighDynamicRange(shape, 2.0)
    return jr.operators.PhaseRetrieval(shape, 2.0)


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Each compiled program keeps several pieces of memory, of which Linux gives a process 65,530; then it aborts."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and len(maps.read_text().splitlines()) > 20_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def adm_tiny() -> NetworkPrior:
    """The golden network as a prior."""
    with np.load(DATA / "adm_tiny.npz") as stored:
        params = convert(dict(stored), ADM_TINY)
    return NetworkPrior({name: jnp.asarray(a) for name, a in params.items()}, config=ADM_TINY)


def random_mixture(seed: int = 0, components: int = 2, shape=(4, 4, 3)) -> GaussianMixture:
    """A mixture with full covariances."""
    rng = np.random.default_rng(seed)
    dim = int(np.prod(shape))
    roots = 0.3 * rng.standard_normal((components, dim, dim)) / np.sqrt(dim)
    covariances = roots @ roots.swapaxes(1, 2) + 0.01 * np.eye(dim)
    return GaussianMixture.from_covariances(
        rng.uniform(0.5, 1.0, components), 0.5 * rng.standard_normal((components, *shape)), covariances
    )


def isotropic(shape=(8, 8, 3), variance: float = 0.25, mean: float = 0.0) -> GaussianMixture:
    """One Gaussian with independent pixels: cheap at any size."""
    dim = int(np.prod(shape))
    return GaussianMixture(jnp.ones(1), jnp.full((1, *shape), mean), jnp.full((1, dim), variance))


@jax.jit
def _both_ways(operator, v, w):
    return operator(v), operator.adjoint(w)


def assert_adjoint(operator, seed):
    """<A v, w> = <v, A^T w> on random vectors, to rounding."""
    key_v, key_w = jax.random.split(jax.random.key(seed))
    v = jax.random.normal(key_v, operator.image_shape)
    w = jax.random.normal(key_w, operator.measurement_shape)
    image, pulled = _both_ways(operator, v, w)
    forward, backward = float(jnp.vdot(image, w)), float(jnp.vdot(v, pulled))
    # Norms of the vectors, times that of the map where it is large: an unnormalised Fourier transform is.
    norm_v, norm_w, image = (float(jnp.linalg.norm(a.ravel())) for a in (v, w, image))
    assert abs(forward - backward) < 1e-5 * (norm_v * norm_w + min(norm_v, norm_w) * image)
