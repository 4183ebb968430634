"""What `benchmarks.levers` compares: each function is a lever, and makes the variants of one computation."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from jaxrestore.layers import group_norm as group_norm_layer
from jaxrestore.operators.blur import gaussian_kernel
from jaxrestore.priors import NetworkPrior, UNetConfig, unet
from jaxrestore.samplers.ancestral import ReverseStep
from jaxrestore.samplers.dpps import select_candidate

SIZE = 256  # side of the images in pixels
SIGMA = jnp.float32(0.5)
Variants = Mapping[str, tuple[Callable[..., Any], tuple[Any, ...]]]  # name -> (function to jit, arguments)


def _loss(prior: NetworkPrior, x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(prior.denoise(x, SIGMA)))


def gradient_steps(prior: NetworkPrior, x: jax.Array, *, length: int = 3, unroll: int = 1) -> jax.Array:
    """A loop of steps along the input gradient of the network, which is what samplers spend their time on."""

    def body(x, _):
        return x - 1e-3 * jax.grad(_loss, argnums=1)(prior, x), None

    return jax.lax.scan(body, x, length=length, unroll=unroll)[0]


def image(size: int, channels: int = 3) -> jax.Array:
    """Random numbers in the form of an image."""
    return jnp.asarray(np.random.default_rng(0).standard_normal((size, size, channels)), jnp.float32)


def bfloat16() -> Variants:
    """Convolutions and attention in bfloat16; norms, state and the output stay float32."""
    prior = jr.load_prior("photo")
    half = dataclasses.replace(prior, config=dataclasses.replace(prior.config, dtype="bfloat16"))
    return {"float32": (gradient_steps, (prior, image(SIZE))), "bfloat16": (gradient_steps, (half, image(SIZE)))}


def rematerialisation() -> Variants:
    """Each block computed again in the backward pass."""
    prior = jr.load_prior("photo")
    again = dataclasses.replace(prior, config=dataclasses.replace(prior.config, remat=True))
    return {"stored": (gradient_steps, (prior, image(SIZE))), "recomputed": (gradient_steps, (again, image(SIZE)))}


def one_vjp() -> Variants:
    """The estimate and its gradient from one evaluation, or from two."""
    prior, x = jr.load_prior("photo"), image(SIZE)

    def together(prior, x):
        def body(x, _):
            def loss(x):
                x0 = prior.denoise(x, SIGMA)
                return jnp.sum(jnp.square(x0)), x0

            gradient, x0 = jax.grad(loss, has_aux=True)(x)
            return x - 1e-3 * gradient + 1e-3 * x0, None

        return jax.lax.scan(body, x, length=3)[0]

    def apart(prior, x):
        def body(x, _):
            # The barrier keeps XLA from finding that both evaluations are the same.
            x0 = prior.denoise(jax.lax.optimization_barrier(x), SIGMA)
            return x - 1e-3 * jax.grad(_loss, argnums=1)(prior, x) + 1e-3 * x0, None

        return jax.lax.scan(body, x, length=3)[0]

    return {"one vjp": (together, (prior, x)), "two evaluations": (apart, (prior, x))}


def unrolling() -> Variants:
    """Four gradient steps, unrolled by 1, 2 and 4."""
    prior, x = jr.load_prior("photo"), image(SIZE)

    def steps(unroll: int):
        return lambda prior, x: gradient_steps(prior, x, length=4, unroll=unroll)

    return {f"unroll {n}": (steps(n), (prior, x)) for n in (1, 2, 4)}


def _without_own_gradient(*arguments: Any) -> jax.Array:
    """The library's GroupNorm, whose gradient is left to JAX."""
    return group_norm_layer._forward(*arguments)[0]


def group_norm() -> Variants:
    """GroupNorm and SiLU, with gradient: sums by channel first, against one sum over pixels and channels of a group."""
    config, channels = UNetConfig(), 128
    x, gain, shift = image(128, channels)[None], jnp.ones((1, channels)), jnp.zeros((1, channels))

    def by_channel(x):
        return jnp.sum(_without_own_gradient(x, gain, shift, config.norm_groups, config.norm_eps, True) ** 2)

    def by_group(x):
        grouped = x.reshape(1, -1, config.norm_groups, channels // config.norm_groups)
        mean = grouped.mean((1, 3), keepdims=True)
        variance = jnp.square(grouped - mean).mean((1, 3), keepdims=True)
        normed = ((grouped - mean) * jax.lax.rsqrt(variance + config.norm_eps)).reshape(x.shape)
        return jnp.sum(jax.nn.silu(normed * gain + shift) ** 2)

    def repeated(f):
        return lambda x: jax.lax.scan(lambda x, _: (x - 1e-6 * jax.grad(f)(x), None), x, length=5)[0]

    return {"by channel": (repeated(by_channel), (x,)), "by group": (repeated(by_group), (x,))}


def _replaced(name: str, replacement: Callable[..., Any]) -> Callable[..., jax.Array]:
    """Gradient steps through a network that has another function in place of one of its own."""

    def steps(prior, x):
        with mock.patch.object(unet, name, replacement):  # while it is traced
            return gradient_steps(prior, x, length=8)

    return steps


def group_norm_backward() -> Variants:
    """GroupNorm and SiLU: their values computed again in the backward pass, or stored as `jax.grad` would."""
    arguments = (jr.load_prior("photo"), image(SIZE))
    return {
        "computed again": (_replaced("group_norm", group_norm_layer.group_norm), arguments),
        "stored": (_replaced("group_norm", _without_own_gradient), arguments),
    }


def sums_of_gradients() -> Variants:
    """Gradients of skip connections added up at each block, or wherever XLA wants to."""
    arguments = (jr.load_prior("photo"), image(SIZE))
    return {
        "at each block": (_replaced("_add_up_gradient", unet._add_up_gradient), arguments),
        "left to XLA": (_replaced("_add_up_gradient", lambda h: h), arguments),
    }


def _shifted_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 convolution as nine products of shifted images with the kernel's matrices: bfloat16 in, float32 out."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).astype(jnp.bfloat16)
    products = [
        jnp.einsum(
            "nhwc,cd->nhwd",
            padded[:, row : row + height, column : column + width],
            kernel[row, column].astype(jnp.bfloat16),
            preferred_element_type=jnp.float32,
        )
        for row in range(3)
        for column in range(3)
    ]
    return functools.reduce(jnp.add, products)


@jax.custom_vjp
def _convolution_by_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _shifted_products(x, kernel)


_convolution_by_products.defvjp(
    lambda x, kernel: (_shifted_products(x, kernel), (x, kernel)),
    # Samplers need the image's gradient alone.
    lambda saved, g: (_shifted_products(g, jnp.flip(saved[1], (0, 1)).swapaxes(2, 3)), jnp.zeros_like(saved[1])),
)


def shifted_products() -> Variants:
    """3x3 convolutions as nine matrix products in bfloat16, where processors have instructions for these."""
    arguments = (jr.load_prior("photo"), image(SIZE))

    def conv2d(x, kernel, *, stride=1, at_end=False):
        if kernel.shape[:2] == (3, 3) and stride == 1:
            return _convolution_by_products(x, kernel)
        return convolution(x, kernel, stride=stride, at_end=at_end)

    convolution = unet.conv2d
    return {"convolutions": (gradient_steps, arguments), "products": (_replaced("conv2d", conv2d), arguments)}


def attention() -> Variants:
    """`jax.nn.dot_product_attention` against the same written out; 1024 positions, 4 heads of 64, with gradient."""
    q, k, v = (jnp.asarray(a) for a in np.random.default_rng(0).standard_normal((3, 1, 1024, 4, 64)).astype(np.float32))

    def fused(q, k, v):
        return jnp.sum(jax.nn.dot_product_attention(q, k, v) ** 2)

    def plain(q, k, v):
        weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) / 8.0, axis=-1)
        return jnp.sum(jnp.einsum("bhqk,bkhd->bqhd", weights, v) ** 2)

    return {
        "dot_product_attention": (jax.grad(fused, argnums=(0, 1, 2)), (q, k, v)),
        "einsum": (jax.grad(plain, argnums=(0, 1, 2)), (q, k, v)),
    }


def layout() -> Variants:
    """A 3x3 convolution of 128 channels at 64x64, channels last and channels first."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 64, 64, 128)).astype(np.float32)
    kernel = (0.03 * rng.standard_normal((3, 3, 128, 128))).astype(np.float32)

    def loop(numbers):
        def run(x, kernel):
            def body(x, _):
                y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
                return jnp.tanh(y), None

            return jax.lax.scan(body, x, length=10)[0]

        return run

    return {
        "channels last": (loop(("NHWC", "HWIO", "NHWC")), (x, kernel)),
        "channels first": (loop(("NCHW", "OIHW", "NCHW")), (x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1))),
    }


def blur() -> Variants:
    """A Gaussian blur of 61 taps: two small matrix products, one direct convolution, or Fourier transforms."""
    x, operator = image(SIZE), jr.operators.GaussianBlur((SIZE, SIZE, 3), 61, 3.0)
    taps = gaussian_kernel(61, 3.0)
    kernel = jnp.asarray(np.outer(taps, taps) if taps.ndim == 1 else taps, jnp.float32)

    def padded(x):
        return jnp.pad(x, ((30, 30), (30, 30), (0, 0)), mode="reflect")

    def direct(x):
        planes = padded(x).transpose(2, 0, 1)[:, None]
        return jax.lax.conv_general_dilated(planes, kernel[None, None], (1, 1), "VALID")[:, 0].transpose(1, 2, 0)

    def fourier(x):
        wide = padded(x)
        spectrum = jnp.fft.rfft2(kernel, wide.shape[:2])[..., None]
        return jnp.fft.irfft2(jnp.fft.rfft2(wide, axes=(0, 1)) * spectrum, wide.shape[:2], axes=(0, 1))[60:, 60:]

    def gradient(f):
        return jax.grad(lambda x: jnp.sum(f(x) ** 2))

    return {
        "separable": (gradient(operator), (x,)),
        "direct": (gradient(direct), (x,)),
        "fourier": (gradient(fourier), (x,)),
    }


def candidates() -> Variants:
    """Choosing among 50: scoring A(c_k - c eps), or A(m - c eps) + A(sd z_k) for linear A; and larger chunks."""
    operator = jr.operators.SuperResolution((SIZE, SIZE, 3), 4)
    mean, eps = image(SIZE), image(SIZE) + 0.1
    y, key = operator(mean), jax.random.key(0)

    def draw(k):
        return jax.random.normal(jax.random.fold_in(key, k), mean.shape)

    def chosen(chunk_size):
        def run(mean, eps, y):
            reverse = ReverseStep(
                mean=mean, eps=eps, x0=mean, spread=lambda z: 0.1 * z, gradient=eps, residual=eps[0, 0, 0]
            )
            return select_candidate(
                reverse, operator, y, jnp.float32(0.9), jnp.int32(50), draw, chunk_size=chunk_size
            ).x

        return run

    def by_parts(mean, eps, y):
        base = jnp.sqrt(0.9) * y - operator(mean - jnp.sqrt(0.1) * eps)

        def body(best, k):
            best_x, best_cost = best
            z = 0.1 * draw(k)
            cost = jnp.sum(jnp.square(base - operator(z)))
            better = cost < best_cost
            return (jnp.where(better, mean + z, best_x), jnp.where(better, cost, best_cost)), None

        return jax.lax.scan(body, (mean, jnp.float32(jnp.inf)), jnp.arange(50))[0][0]

    def draws_alone(mean, eps, y):
        return jax.lax.scan(lambda x, k: (x + draw(k), None), mean, jnp.arange(50))[0]

    return {
        **{f"chunks of {n}": (chosen(n), (mean, eps, y)) for n in (1, 2, 10)},
        "by parts": (by_parts, (mean, eps, y)),
        "drawing alone": (draws_alone, (mean, eps, y)),
    }
