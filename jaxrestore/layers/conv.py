"""Convolution whose input gradient stays fast inside `lax.scan` on CPU.

XLA folds the reversed kernel of a convolution's input gradient into the convolution as a window reversal. Outside a
loop the CPU backend still finds its fast path; inside `scan` or `while_loop` it does not, and the gradient runs 5 to 30
times slower. Here the gradient is written as an ordinary convolution with the flipped, transposed kernel, kept apart by
an optimisation barrier. GPU and TPU keep XLA's own form. `benchmarks/gradient_step.py` measures both.
"""

import jax
import jax.numpy as jnp

from jaxrestore.layers._varying import vary_alike

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def _convolve(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    pads = ((padding, padding), (padding, padding))
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=_LAYOUT)


@jax.custom_vjp
def _convolve_same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _convolve(x, kernel, kernel.shape[0] // 2)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve_same(x, kernel), (x, kernel)


def _input_gradient_cpu(g: jax.Array, kernel: jax.Array) -> jax.Array:
    flipped = jax.lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return _convolve(g, flipped, kernel.shape[0] // 2)


def _input_gradient(g: jax.Array, kernel: jax.Array) -> jax.Array:
    (anywhere, _) = vary_alike(jnp.zeros((*g.shape[:-1], kernel.shape[2]), g.dtype), g)
    _, pullback = jax.vjp(lambda x: _convolve(x, kernel, kernel.shape[0] // 2), anywhere)
    return pullback(g)[0]


def _backward(residuals: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    dx = jax.lax.platform_dependent(g, kernel, cpu=_input_gradient_cpu, default=_input_gradient)
    _, pullback = jax.vjp(lambda k: _convolve(x, k, k.shape[0] // 2), kernel)
    (dkernel,) = pullback(g)
    return dx, dkernel


_convolve_same.defvjp(_forward, _backward)


def conv2d(x: jax.Array, kernel: jax.Array, *, stride: int = 1, at_end: bool = False) -> jax.Array:
    """Cross-correlation with symmetric zero padding of half the (odd, square) kernel, as PyTorch's `Conv2d`.

    Args:
      x: (N, H, W, C_in).
      kernel: (K, K, C_in, C_out), K odd.
      stride: 1, or 2 for the strided down-sampling layers.
      at_end: All padding below and to the right, as TensorFlow has it for strided layers on even sizes.

    Returns:
      (N, ceil(H / stride), ceil(W / stride), C_out), in the dtype of `x`.
    """
    if kernel.shape[:2] == (1, 1) and stride == 1:
        return x @ kernel[0, 0]  # on CPU up to twice as fast as a convolution, and so is its gradient
    if stride == 1:
        return _convolve_same(*vary_alike(x, kernel))
    padding = kernel.shape[0] // 2
    pads = (0 if at_end else padding, padding)
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), (pads, pads), dimension_numbers=_LAYOUT)
