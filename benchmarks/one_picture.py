"""Where does the forward pass of few small pictures spend its time, here and in PyTorch?

    python -m benchmarks.one_picture [--sizes 64 128 256] [--batch-sizes 1 4] [--dtypes float32]

The bundled prior and its twin (`convert_weights.twin`), with the same weights, in turns in one process; whole, and with
every norm and its SiLU left out. `taskset -c 0` before the command tells what the second thread gains: the cells name
how many there are. Needs the extra `verify`.
"""

import importlib.metadata
import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _cells, _run, networks
from benchmarks.cases import LEVEL
from jaxrestore.priors import NetworkPrior, unet


def jax_cases(prior: NetworkPrior, x: np.ndarray) -> dict[str, Callable[[], jax.Array]]:
    """This library's forms, by what is left out."""

    def denoise(prior, x):
        return jax.vmap(lambda x: prior.denoise(x, jnp.float32(LEVEL)))(x)

    def without_norms(prior, x):
        with mock.patch.object(unet, "group_norm", lambda x, *_: x):  # while it is traced
            return denoise(prior, x)

    arguments = jax.device_put((prior, x))
    whole, bare = jax.jit(denoise), jax.jit(without_norms)
    return {"jaxrestore": lambda: whole(*arguments), "jaxrestore, no norms": lambda: bare(*arguments)}


def torch_cases(prior: NetworkPrior, x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The twin's."""
    import torch

    from convert_weights import twin

    network = twin.TwinUNet(prior.config)
    network.load_state_dict(twin.from_params(prior.params))
    noisy, sigma = torch.from_numpy(x), torch.full((len(x),), LEVEL)

    def whole() -> Any:
        with torch.inference_mode():
            return twin.denoise(network, noisy, sigma)

    def bare() -> Any:
        with mock.patch.object(twin._GroupNorm, "forward", lambda self, input, *_: input):
            return whole()

    return {"torch": whole, "torch, no norms": bare}


def measure(prior: NetworkPrior, shape: tuple[int, ...], *, repeats: int) -> dict[str, Any]:
    """Time all forms in turns, once both sides are seen to compute the same."""
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    cases: Mapping[str, Callable[[], Any]] = {**jax_cases(prior, x), **torch_cases(prior, x)}
    ours, theirs = (np.asarray(cases[name]()) for name in ("jaxrestore", "torch"))
    times = _run.alternate(cases, repeats=repeats)
    medians = {name: t["median_s"] for name, t in times.items()}
    return {
        "seconds": medians,
        "times_as_long_as_jaxrestore": {name: s / medians["jaxrestore"] for name, s in medians.items()},
        "relative_difference": float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - x)),
        "measured": times,
    }


def main() -> None:
    """Measure the cells that are due, and print them."""
    parser = _run.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256], help="sides of the pictures in pixels")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=9)
    _cells.add_options(parser)
    arguments = parser.parse_args()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cells = _cells.Cells("one_picture", arguments)
    for dtype, size, batch in itertools.product(arguments.dtypes, arguments.sizes, arguments.batch_sizes):
        label, shape = f"{size}/{dtype}/{batch}/threads {threads}", (batch, size, size, 3)
        facts = {"shape": list(shape), "dtype": dtype, "threads": threads, **networks.photo_facts()}
        if not cells.due(label, facts):
            continue
        cell = measure(networks.load("photo", dtype), shape, repeats=arguments.repeats)
        cells.write({label: {**facts, **cell, "versions": {"torch": importlib.metadata.version("torch")}}})
        for name, ratio in cell["times_as_long_as_jaxrestore"].items():
            print(f"{label}  {name:22s} {1e3 * cell['seconds'][name]:8.1f} ms  {ratio:5.2f} x", flush=True)
    print(cells.path)


if __name__ == "__main__":
    main()
