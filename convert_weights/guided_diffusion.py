"""guided-diffusion (OpenAI, and the priors of DPS, DPPS and SPGD): PyTorch names to this library's names."""

from collections.abc import Mapping

import numpy as np

from jaxrestore.priors.network import abstract_params
from jaxrestore.priors.unet import UNetConfig

_RES_BLOCK = {
    "norm_in": "in_layers.0",
    "conv_in": "in_layers.2",
    "embedding": "emb_layers.1",
    "norm_out": "out_layers.0",
    "conv_out": "out_layers.3",
    "skip": "skip_connection",
}
_ATTENTION = {"norm": "norm", "qkv": "qkv", "projection": "proj_out"}
_TOP = {
    "time_in": "time_embed.0",
    "time_out": "time_embed.2",
    "norm_out": "out.0",
    "conv_out": "out.2",
    "label": "label_emb",
}
_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}


def torch_name(name: str, config: UNetConfig) -> str:
    """The state dict's key of one of this library's parameters, e.g. `time_in.kernel` -> `time_embed.0.weight`."""
    *module, leaf = name.split(".")
    if module[0] in _TOP:
        return f"{_TOP[module[0]]}.{_LEAVES[leaf]}"
    depth = 2 if module[0] == "middle_block" else 3
    prefix, part = ".".join(module[:depth]), module[depth]
    if part == "conv":  # the stem is a bare convolution, a resampling layer holds one as "op" (down) or "conv" (up)
        inner = {"input_blocks.0.0": "", "input_blocks": ".op", "output_blocks": ".conv"}
        return prefix + inner.get(prefix, inner[module[0]]) + f".{_LEAVES[leaf]}"
    table = _ATTENTION if part in _ATTENTION else _RES_BLOCK
    return f"{prefix}.{table[part]}.{_LEAVES[leaf]}"


def convert(state: Mapping[str, np.ndarray], config: UNetConfig) -> dict[str, np.ndarray]:
    """Rename and transpose a state dict into the parameters of a network of `config`.

    Args:
      state: Name -> array, as PyTorch stores it (convolutions (out, in, h, w), linear layers (out, in)).
      config: Of the network that the state belongs to.

    Returns:
      Name -> array, as `jaxrestore.priors.NetworkPrior` holds it; dtypes are kept.

    Raises:
      ValueError: If tensors are missing, left over or misshapen; the text lists them.
    """
    params, problems, unused = {}, [], set(state)
    for name, expected in abstract_params(config).items():
        key = torch_name(name, config)
        if key not in state:
            problems.append(f"missing {key}")
            continue
        unused.discard(key)
        value = _to_channels_last(np.asarray(state[key]), len(expected.shape), name)
        if value.shape != expected.shape:
            problems.append(f"{key} has shape {state[key].shape}, which does not fit {name} {expected.shape}")
        params[name] = value
    problems += [f"unexpected {key}" for key in sorted(unused)]
    if problems:
        raise ValueError(f"the state dict does not fit the configuration: {'; '.join(problems)}")
    return params


def _to_channels_last(value: np.ndarray, ndim: int, name: str) -> np.ndarray:
    if name == "label.embedding":
        return value
    if value.ndim == 4:  # (out, in, h, w) -> (h, w, in, out)
        return value.transpose(2, 3, 1, 0)
    if value.ndim == 3:  # 1-D convolutions of the attention, (out, in, 1)
        return value.transpose(2, 1, 0)[None]
    if value.ndim == 2 and ndim == 2:
        return value.T
    if value.ndim == 2 and ndim == 4:
        return value.T[None, None]
    return value
