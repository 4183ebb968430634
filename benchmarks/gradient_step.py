"""What does a likelihood gradient cost inside the sampler's loop, against a forward pass of the network?

`python -m benchmarks.gradient_step [--size 256]`. Loops of forward passes and of gradient steps run in turns, the
latter with this library's convolution and with the plain one, whose input gradient falls off XLA's fast path on CPU.
"""

import argparse
from unittest import mock

import jax
import jax.numpy as jnp

import jaxrestore as jr
from benchmarks import _run
from jaxrestore.priors import unet


def _plain_conv2d(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the image in pixels")
    parser.add_argument("--steps", type=int, default=3, help="turns of the measured loop")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    size, steps = arguments.size, arguments.steps
    prior = jr.load_prior("photo")
    degradation = jr.Degradation(jr.operators.SuperResolution((size, size, 3), 4), jr.NoNoise())
    x, y = jnp.zeros((size, size, 3)), jnp.zeros((size // 4, size // 4, 3))

    def forward(prior, x):
        return jax.lax.scan(lambda x, _: (prior.denoise(x, 0.5), None), x, length=steps)[0]

    def gradient(prior, x):
        def loss(x):
            return jnp.sum(jnp.square(degradation.operator(prior.denoise(x, 0.5)) - y))

        return jax.lax.scan(lambda x, _: (x - 1e-3 * jax.grad(loss)(x), None), x, length=steps)[0]

    def sampler(prior, x):
        return jr.spgd(num_steps=2, warmup_steps=steps).sample(jax.random.key(0), prior, degradation, y).image

    compiled = {
        name: jax.jit(f).lower(prior, x).compile() for name, f in (("forward", forward), ("gradient", gradient))
    }
    compiled["spgd_2_levels"] = jax.jit(sampler).lower(prior, x).compile()
    with mock.patch.object(unet, "conv2d", _plain_conv2d):
        compiled["gradient_plain_convolution"] = jax.jit(lambda p, x: gradient(p, x)).lower(prior, x).compile()
    matrix = jnp.ones((2048, 2048))
    compiled["matmul_2048"] = jax.jit(lambda p, m: m @ m).lower(prior, matrix).compile()

    cases = {name: (lambda f=f, n=name: f(prior, matrix if n == "matmul_2048" else x)) for name, f in compiled.items()}
    times = _run.alternate(cases, repeats=arguments.repeats)
    per_step = {
        name: t["median_s"] / {"matmul_2048": 1, "spgd_2_levels": 2 * steps}.get(name, steps)
        for name, t in times.items()
    }
    cost = compiled["forward"].cost_analysis()
    flops = cost["flops"] if cost else float("nan")
    ratios = {name: per_step[name] / per_step["forward"] for name in times if name != "matmul_2048"}
    matmul = 2 * 2048**3 / per_step["matmul_2048"]
    report = {
        "shape": [size, size, 3],
        "dtype": prior.config.dtype,
        "prior": "photo",
        "seconds_per_step": per_step,
        "ratio_to_forward": ratios,
        "forward_gflops": flops / 1e9,
        "forward_gflops_per_s": flops / per_step["forward"] / 1e9,
        "matmul_gflops_per_s": matmul / 1e9,
        "measured": times,
    }
    for name, ratio in ratios.items():
        print(f"{name:28s} {1e3 * per_step[name]:8.1f} ms a step  {ratio:5.2f} x forward")
    print(f"forward {report['forward_gflops_per_s']:.0f} GFLOP/s, matmul {report['matmul_gflops_per_s']:.0f} GFLOP/s")
    print(_run.write("gradient_step", report))


if __name__ == "__main__":
    main()
