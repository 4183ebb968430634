"""One seed, a branch for every purpose: no draw of one command or part repeats another's."""

from typing import Literal, get_args

import jax

Purpose = Literal[
    "operator",  # the mask or kernel: the same in all commands, so that `restore` finds the one of `degrade` again
    "measurement",  # noise of the measurements, one key for each picture
    "sampler",  # the restoration, one key for each picture and posterior sample
    "evaluation",  # what `evaluate` of the library splits into noise and sampler by itself
]

_WORD = 2**32


def key_for(purpose: Purpose, seed: int) -> jax.Array:
    """The key of a purpose. Fold further numbers into it, never into the seed's own key: its folds are the branches.

    Any whole number is a seed. JAX would cut those beyond 32 bits, so that different seeds draw alike: what is above is
    folded in, sign first.
    """
    key, rest = jax.random.key(seed % _WORD), seed // _WORD
    if rest:
        key, rest = jax.random.fold_in(key, int(rest < 0)), abs(rest)
    while rest:
        key, rest = jax.random.fold_in(key, rest % _WORD), rest // _WORD
    return jax.random.fold_in(key, get_args(Purpose).index(purpose))
