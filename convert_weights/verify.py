"""The same random input through the PyTorch network and through the converted one.

The references are other people's code: azula carries OpenAI's UNet, diffusers its own. Their weights are the
checkpoint's own tensors, so the comparison covers reading, renaming, transposing, and the Flax network. What the
tensors do not tell (heads and their order) goes into both networks alike: a wrong choice of those shows in what the
prior restores, not here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from convert_weights.arrays import ConversionError
from jaxrestore.priors.config import UNetConfig
from jaxrestore.priors.network import apply_unet

TOLERANCE = 1e-3  # relative, in float32, where rounding leaves about 1e-6
Reference = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]  # (x NCHW, t, label) -> output NCHW


def relative_error(value: np.ndarray, reference: np.ndarray) -> float:
    """||value - reference|| / ||reference||."""
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def inputs(config: UNetConfig, batch: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """A random image batch (N, C, H, W) small enough for a CPU, timesteps and labels."""
    rng = np.random.default_rng(seed)
    side = max(32, config.stride)
    x = rng.standard_normal((batch, config.in_channels, side, side)).astype(np.float32)
    t = np.linspace(37.0, 911.0, batch).round().astype(np.float32)
    label = None if config.num_classes is None else rng.integers(config.num_classes, size=batch)
    return x, t, label


def largest_error(config: UNetConfig, params: Mapping[str, Any], reference: Reference) -> float:
    """The largest relative error over a batch of random inputs between a reference and the Flax network in float32."""
    x, t, label = inputs(config)
    expected = reference(x, t, label)
    output = run_flax(config, params, x, t, label)
    return max(relative_error(a, b) for a, b in zip(output, expected, strict=True))


def run_flax(
    config: UNetConfig, params: Mapping[str, Any], x: np.ndarray, t: np.ndarray, label: np.ndarray | None
) -> np.ndarray:
    """The Flax network on PyTorch's layout, (N, C, H, W)."""
    run = jax.jit(apply_unet, static_argnums=0)
    exact = {name: np.asarray(value, np.float32) for name, value in params.items()}
    return np.asarray(run(config, exact, x.transpose(0, 2, 3, 1), t, label)).transpose(0, 3, 1, 2)


def azula_module(config: UNetConfig, state: Mapping[str, np.ndarray]) -> Any:
    """OpenAI's network as azula carries it, a PyTorch module, with a state dict of guided-diffusion.

    Raises:
      ConversionError: If azula is not installed, or the network is none of guided-diffusion.
    """
    torch = _import("torch")
    unet = _import("azula.plugins.adm._src.unet", "azula")
    if not config.middle_attention:
        raise ConversionError("guided-diffusion's network always has attention in the middle; this checkpoint has none")
    with torch.device("meta"):
        network = unet.UNetModel(
            image_size=config.stride,
            in_channels=config.in_channels,
            model_channels=config.model_channels,
            out_channels=config.out_channels,
            num_res_blocks=config.num_res_blocks,
            attention_resolutions=config.attention_resolutions,
            channel_mult=config.channel_mult,
            conv_resample=config.conv_resample,
            num_classes=config.num_classes,
            num_heads=config.num_heads,
            num_head_channels=-1 if config.num_head_channels is None else config.num_head_channels,
            use_scale_shift_norm=config.scale_shift_norm,
            resblock_updown=config.resblock_updown,
            use_new_attention_order=config.attention_order == "new",
        )
    _load(network, state)
    return network


def azula_unet(config: UNetConfig, state: Mapping[str, np.ndarray]) -> Reference:
    """`azula_module` as a function of arrays; errors are its own."""
    torch, network = _import("torch"), azula_module(config, state)

    def run(x: np.ndarray, t: np.ndarray, label: np.ndarray | None) -> np.ndarray:
        with torch.no_grad():
            y = None if label is None else torch.from_numpy(label)
            return network(torch.from_numpy(x), torch.from_numpy(t), y=y).numpy()

    return run


def diffusers_unet(model: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> Reference:
    """A UNet2DModel of diffusers with its own configuration and state dict.

    Raises:
      ConversionError: If diffusers is not installed.
    """
    torch = _import("torch")
    network = _import("diffusers").UNet2DModel.from_config(dict(model))
    _load(network, state)

    def run(x: np.ndarray, t: np.ndarray, label: np.ndarray | None) -> np.ndarray:
        with torch.no_grad():
            y = None if label is None else torch.from_numpy(label)
            return network(torch.from_numpy(x), torch.from_numpy(t), class_labels=y).sample.numpy()

    return run


def _load(network: Any, state: Mapping[str, np.ndarray]) -> None:
    torch = _import("torch")
    tensors = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in state.items()}
    network.load_state_dict(tensors, assign=True)
    network.eval()


def _import(module: str, package: str | None = None) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module
        raise ConversionError(f"--verify needs {package}: pip install 'jaxrestore[verify]'") from error
