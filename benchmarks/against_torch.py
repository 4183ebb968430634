"""The same network, the same steps, the same batch: this library and PyTorch, timed in turns in one process.

    python -m benchmarks.against_torch [--network ffhq256] [--batch 1] [--dtypes float32 bfloat16] [--compile]

The network is OpenAI's as azula carries it, with random weights; this library has the converted ones. Compared are a
forward pass, inner steps of SPGD, and steps of DPS (`jaxrestore.dps` against azula's `DPSSampler`). PyTorch's
inner step comes in the published form, whose `backward()` computes parameter gradients that nobody uses, and in better
ones: with respect to the image alone, channels last, compiled. In float32 on a GPU PyTorch is also allowed TF32, which
XLA uses by default. Needs the extra `verify`.
"""

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _run, networks
from benchmarks.cases import LEVEL, degradation
from convert_weights import guided_diffusion, verify
from jaxrestore.priors import NetworkPrior
from jaxrestore.schedules import vp_timestep

SPGD_STEPS, DPS_STEPS = 3, 4  # in one call
RATE = 1e-3


class TorchSide:
    """PyTorch's cases on the device that JAX uses too."""

    def __init__(self, config: Any, state: Mapping[str, np.ndarray], x: np.ndarray, y: np.ndarray, dtype: str) -> None:
        import torch

        self.torch = torch
        self.device = torch.device("cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu")
        self.dtype = getattr(torch, dtype)
        self.network = verify.azula_module(config, state).to(self.device)
        self.x, self.y = (torch.from_numpy(np.moveaxis(a, -1, 1).copy()).to(self.device) for a in (x, y))
        self.channels, self.timestep = config.in_channels, float(vp_timestep(jnp.float32(LEVEL)))

    def denoise(self, network: Callable[..., Any], x: Any) -> Any:
        """The prior's denoiser at `LEVEL`."""
        t = self.torch.full((len(x),), self.timestep, device=self.device)
        with self.torch.autocast(self.device.type, self.dtype, enabled=self.dtype != self.torch.float32):
            eps = network(x / (LEVEL**2 + 1) ** 0.5, t)
        return x - LEVEL * eps[:, : self.channels].float()

    def measured(self, x: Any) -> Any:
        """Average pooling by 4."""
        return self.torch.nn.functional.avg_pool2d(x, 4)

    def forward(self, network: Callable[..., Any], x: Any) -> Callable[[], Any]:
        """A pass without gradients."""

        def run() -> Any:
            with self.torch.no_grad():
                return self._wait(self.denoise(network, x))

        return run

    def step(self, network: Callable[..., Any], x: Any, *, with_params: bool) -> Callable[[], Any]:
        """The inner steps of SPGD; `with_params` also fills every parameter's gradient, as `backward()` does."""

        def run() -> Any:
            self.network.requires_grad_(with_params)
            image = x
            for _ in range(SPGD_STEPS):
                self.network.zero_grad(set_to_none=True)
                image = image.detach().requires_grad_()
                loss = (self.measured(self.denoise(network, image)) - self.y).square().sum()
                if with_params:
                    loss.backward()
                    gradient = image.grad
                else:
                    (gradient,) = self.torch.autograd.grad(loss, image)
                image = image - RATE * gradient
            return self._wait(image.detach())

        return run

    def dps(self) -> Callable[[], Any]:
        """Azula's `DPSSampler` with azula's own denoiser."""
        from azula.guidance import DPSSampler
        from azula.plugins.adm import AblatedDenoiser

        denoiser = AblatedDenoiser(self.network, learn_var=True).to(self.device).eval()
        sampler = DPSSampler(denoiser, y=self.y, A=self.measured, steps=DPS_STEPS, silent=True, device=self.device)

        def run() -> Any:
            self.network.requires_grad_(False)
            with self.torch.autocast(self.device.type, self.dtype, enabled=self.dtype != self.torch.float32):
                return self._wait(sampler(self.x))

        return run

    def _wait(self, result: Any) -> Any:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()
        return result


def torch_cases(side: TorchSide, *, compile_too: bool) -> dict[str, Callable[[], Any]]:
    """PyTorch's forms of each case, as "case/form"."""
    torch, last = side.torch, side.torch.channels_last
    cases = {
        "forward/torch": side.forward(side.network, side.x),
        "step/torch published": side.step(side.network, side.x, with_params=True),
        "step/torch": side.step(side.network, side.x, with_params=False),
        "dps/torch azula": side.dps(),
        "forward/torch channels last": side.forward(side.network, side.x.to(memory_format=last)),
        "step/torch channels last": side.step(side.network, side.x.to(memory_format=last), with_params=False),
    }
    if compile_too:
        compiled = torch.compile(side.network)
        cases["forward/torch compiled"] = side.forward(compiled, side.x)
        cases["step/torch compiled"] = side.step(compiled, side.x, with_params=False)
    return cases


def jax_cases(prior: NetworkPrior, x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], jax.Array]]:
    """This library's."""
    reduction = degradation(x.shape[1])
    dps = jr.dps(num_steps=DPS_STEPS)

    def denoise(prior, x):
        return jax.vmap(lambda x: prior.denoise(x, jnp.float32(LEVEL)))(x)

    def step(prior, x, y):
        def loss(x):
            return jnp.sum(jnp.square(jax.vmap(reduction.operator)(denoise(prior, x)) - y))

        return x - RATE * jax.grad(loss)(x)

    def steps(prior, x, y):
        return jax.lax.scan(lambda x, _: (step(prior, x, y), None), x, length=SPGD_STEPS)[0]

    def sample(prior, y):
        keys = jax.random.split(jax.random.key(0), len(x))
        return jax.vmap(lambda key, y: dps.sample(key, prior, reduction, y).image)(keys, y)

    arguments = {"forward": (denoise, (prior, x)), "step": (steps, (prior, x, y)), "dps": (sample, (prior, y))}
    placed = {name: (jax.jit(f), jax.device_put(a)) for name, (f, a) in arguments.items()}
    return {f"{name}/jaxrestore": (lambda f=f, a=a: f(*a)) for name, (f, a) in placed.items()}


def difference(cases: Mapping[str, Callable[[], Any]], name: str, x: np.ndarray) -> float:
    """Relative difference between what a case adds to the image on the two sides: they must compute the same."""
    ours, theirs = np.asarray(cases[f"{name}/jaxrestore"]()), cases[f"{name}/torch"]().cpu().numpy()
    theirs = np.moveaxis(theirs, 1, -1)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - x))


def measure(cases: Mapping[str, Callable[[], Any]], x: np.ndarray, *, repeats: int) -> dict[str, Any]:
    """Time the cases in turns, once both sides are seen to compute the same."""
    differences = {name: difference(cases, name, x) for name in ("forward", "step")}
    times = _run.alternate(cases, repeats=repeats)
    medians = {name: t["median_s"] for name, t in times.items()}
    return {
        "seconds": medians,
        "times_as_long_as_jaxrestore": {
            name: seconds / medians[f"{name.split('/')[0]}/jaxrestore"] for name, seconds in medians.items()
        },
        "relative_difference": differences,
        "measured": times,
    }


def show(dtype: str, cell: Mapping[str, Any]) -> None:
    """Print a cell, one line a form."""
    for name, seconds in sorted(cell["seconds"].items()):
        ratio = cell["times_as_long_as_jaxrestore"][name]
        print(f"{dtype}  {name:32s} {1e3 * seconds:10.1f} ms  {ratio:6.2f} x", flush=True)
    print(f"relative differences {cell['relative_difference']}", flush=True)


def main() -> None:
    """Measure the cells that are due, one for each dtype, and print them."""
    parser = _run.parser(__doc__)
    parser.add_argument("--network", default="ffhq256", choices=list(guided_diffusion.PRESETS))
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="also torch.compile (minutes, and a C++ compiler)")
    parser.add_argument("--repeats", type=int, default=5)
    _cells.add_options(parser)
    arguments = parser.parse_args()

    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True

    config = networks.published_config(arguments.network)
    noise = np.random.default_rng(0).standard_normal((arguments.batch, arguments.size, arguments.size, 3))
    x, y = (0.5 * noise).astype(np.float32), (0.5 * noise[:, ::4, ::4]).astype(np.float32)
    # A cell with the compiled forms also serves those who do not ask for them.
    facts = {"steps_in_one_call": {"forward": 1, "step": SPGD_STEPS, "dps": DPS_STEPS}}
    facts |= {"compiled_too": True} if arguments.compile else {}
    cells = _cells.Cells("against_torch", arguments)
    for dtype in arguments.dtypes:
        label = f"{arguments.network}/{arguments.size}/{dtype}/{arguments.batch}"
        if not cells.due(label, facts):
            continue
        state = networks.random_state(config)
        side = TorchSide(config, state, x, y, dtype)
        cases = {
            **jax_cases(networks.from_state(config, state, dtype), x, y),
            **torch_cases(side, compile_too=arguments.compile),
        }
        cell = {**facts, "compiled_too": arguments.compile, **measure(cases, x, repeats=arguments.repeats)}
        cell |= {"torch_device": str(side.device), "torch_threads": torch.get_num_threads()}
        cell |= {"versions": {name: importlib.metadata.version(name) for name in ("torch", "azula")}}
        cells.write({label: cell})
        show(dtype, cell)
    print(cells.path)


if __name__ == "__main__":
    main()
