"""What does a likelihood gradient cost inside the sampler's loop, against a forward pass of the network?

    python -m benchmarks.gradient_step [--size 256] [--steps 3] [--repeats 7]

Loops of forward passes and of gradient steps run in turns, the latter with this library's convolution and with the
plain one, whose input gradient falls off XLA's fast path on CPU.
"""

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

import jaxrestore as jr
from benchmarks import _results, _run
from jaxrestore.priors import NetworkPrior, unet

_MATRIX_SIDE = 2048


def plain_conv2d(x: jax.Array, kernel: jax.Array, *, stride: int = 1, at_end: bool = False) -> jax.Array:
    """What `jaxrestore.layers.conv.conv2d` computes, its gradient left to JAX."""
    padding = kernel.shape[0] // 2
    pads = (0 if at_end else padding, padding)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), (pads, pads), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


class Program(NamedTuple):
    """A compiled loop."""

    compiled: Any
    turns: int  # of the loop
    arguments: tuple[Any, ...]

    def __call__(self) -> jax.Array:
        return self.compiled(*self.arguments)


def programs(prior: NetworkPrior, size: int, steps: int) -> dict[str, Program]:
    """The loops that are compared, and a matrix product."""
    degradation = jr.Degradation(jr.operators.SuperResolution((size, size, 3), 4), jr.NoNoise())
    x, y = jnp.zeros((size, size, 3)), jnp.zeros((size // 4, size // 4, 3))

    def forward(prior, x):
        return jax.lax.scan(lambda x, _: (prior.denoise(x, 0.5), None), x, length=steps)[0]

    def gradient(prior, x):
        def loss(x):
            return jnp.sum(jnp.square(degradation.operator(prior.denoise(x, 0.5)) - y))

        return jax.lax.scan(lambda x, _: (x - 1e-3 * jax.grad(loss)(x), None), x, length=steps)[0]

    def gradient_plain(prior, x):
        with mock.patch.object(unet, "conv2d", plain_conv2d):  # while it is traced
            return gradient(prior, x)

    def spgd(prior, x):
        return jr.spgd(num_steps=2, warmup_steps=steps).sample(jax.random.key(0), prior, degradation, y).image

    def ready(function: Callable[..., jax.Array], turns: int, *arguments: Any) -> Program:
        return Program(jax.jit(function).lower(*arguments).compile(), turns, arguments)

    return {
        "forward": ready(forward, steps, prior, x),
        "gradient": ready(gradient, steps, prior, x),
        "spgd_2_levels": ready(spgd, 2 * steps, prior, x),
        "gradient_plain_convolution": ready(gradient_plain, steps, prior, x),
        f"matmul_{_MATRIX_SIDE}": ready(lambda a: a @ a, 1, jnp.ones((_MATRIX_SIDE, _MATRIX_SIDE))),
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = _run.parser(__doc__)
    parser.add_argument("--size", type=int, default=256, help="side of the image in pixels")
    parser.add_argument("--steps", type=int, default=3, help="turns of the measured loop")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    size, prior = arguments.size, jr.load_prior("photo")
    compared = programs(prior, size, arguments.steps)
    times = _run.alternate(compared, repeats=arguments.repeats)
    per_step = {name: times[name]["median_s"] / program.turns for name, program in compared.items()}
    ratios = {name: seconds / per_step["forward"] for name, seconds in per_step.items() if "matmul" not in name}
    cost = compared["forward"].compiled.cost_analysis()  # XLA counts the body of a loop once
    flops = cost["flops"] if cost else float("nan")
    report = {
        "shape": [size, size, 3],
        "dtype": prior.config.dtype,
        "prior": "photo",
        "seconds_per_step": per_step,
        "ratio_to_forward": ratios,
        "forward_gflops": flops / 1e9,
        "forward_gflops_per_s": flops / per_step["forward"] / 1e9,
        "matmul_gflops_per_s": 2 * _MATRIX_SIDE**3 / per_step[f"matmul_{_MATRIX_SIDE}"] / 1e9,
        "measured": times,
    }
    for name, ratio in ratios.items():
        print(f"{name:28s} {1e3 * per_step[name]:8.1f} ms a step  {ratio:5.2f} x forward")
    print(f"forward {report['forward_gflops_per_s']:.0f} GFLOP/s, matmul {report['matmul_gflops_per_s']:.0f} GFLOP/s")
    print(_results.write("gradient_step", report))


if __name__ == "__main__":
    main()
