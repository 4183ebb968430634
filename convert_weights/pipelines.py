"""Folders of Hugging Face diffusers: which weights lie in them, and which noise schedule these were trained with."""

import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from convert_weights.arrays import Arrays, ConversionError
from convert_weights.containers import is_average
from convert_weights.reading import read_json, read_weights
from convert_weights.unet import require

# Full precision first, then what variants there are: fp16, bf16, non_ema.
_WEIGHTS = (
    r"diffusion_pytorch_model\.safetensors",
    r"diffusion_pytorch_model\.bin",
    r"diffusion_pytorch_model\.(safetensors|bin)\.index\.json",
    r"diffusion_pytorch_model\.(?!safetensors|bin)\w+\.(safetensors|bin)",
    r"diffusion_pytorch_model\.(safetensors|bin)\.index\.\w+\.json",
)
_LESS = ("non_ema", "bf16", "fp16", ".bin")  # words of names that are taken last, most unwelcome first
_UNETS = ("unet_ema", "unet")  # training scripts save the moving average beside the raw weights
_SCHEDULERS = ("scheduler_config.json", "scheduler/scheduler_config.json")
_INDEX = "model_index.json"
_LATENT = ("vae", "vqvae", "movq")
# Their betas, where the configuration does not tell, are DDPM's: linear from 1e-4 to 0.02 in 1000 steps.
_LIKE_DDPM = {
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "DDIMInverseScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "RePaintScheduler",
    "UniPCMultistepScheduler",
}
_BETAS = ("beta_schedule", "beta_start", "beta_end")
# What changes the process or the prediction, and has no counterpart here.
_FLAGS = ("rescale_betas_zero_snr", "use_flow_sigmas")


class Pipeline(NamedTuple):
    """What a diffusers folder holds."""

    config: dict[str, Any]  # of the UNet2DModel
    state: Arrays
    noise_schedule: str  # "linear" or "cosine"
    scheduler: dict[str, Any] | None  # its configuration, where there is one
    choice: str  # which weights were taken, for people

    @property
    def remarks(self) -> list[str]:
        """What a person may want to know: the choice, and what had to be assumed."""
        if "beta_schedule" in (self.scheduler or {}):
            return [self.choice]
        return [self.choice, "no scheduler_config.json: taken as trained with DDPM's linear betas to predict the noise"]


def read_pipeline(folder: pathlib.Path) -> Pipeline:
    """Read the folder of a UNet2DModel, or one that has it in `unet/` or, as training scripts save it, in `unet_ema/`.

    Raises:
      ConversionError: If files are missing or unreadable, or the scheduler is none that the library knows.
    """
    if not folder.is_dir():
        raise ConversionError(f"{folder} is no folder; expected that of a UNet2DModel, with config.json and weights")
    unet = next((f for f in (folder, *(folder / n for n in _UNETS)) if (f / "config.json").is_file()), folder / "unet")
    config = read_json(unet / "config.json")
    name = config.get("_class_name", "UNet2DModel")
    if name != "UNet2DModel":
        raise ConversionError(f"{unet / 'config.json'} describes a {name}, expected a UNet2DModel")
    schedules = _schedulers(unet)
    kinds = {_noise_schedule(scheduler, str(place)) for place, scheduler in schedules.items()} or {"linear"}
    if len(kinds) > 1:
        raise ConversionError(f"{' and '.join(map(str, schedules))} have different betas; keep that of the training")
    file = choose_weights([path.name for path in unet.iterdir() if path.is_file()])
    if file is None:
        raise ConversionError(
            f"{unet} has no weights; expected diffusion_pytorch_model.safetensors, .bin or their index"
        )
    file = unet / file
    weights = read_weights(file)
    choice = [f"weights taken from {unet.resolve().name}/{file.name}", *filter(None, [weights.choice])]
    if is_average(unet.resolve().name):
        choice[0] += ", a moving average"
    beside = unet.resolve().parent / "unet_ema"
    if beside.is_dir() and beside != unet.resolve():
        choice.append(f"not from {beside}, which has a moving average: give that folder to take it")
    return Pipeline(config, weights.state, kinds.pop(), next(iter(schedules.values()), None), "; ".join(choice))


def needed_files(files: Collection[str]) -> tuple[list[str], str | None]:
    """What `read_pipeline` reads of a folder with these files, shards aside: descriptions, and the weights if any."""
    unet = next((f for f in ("", *(f"{name}/" for name in _UNETS)) if f"{f}config.json" in files), "unet/")
    inside = [file.removeprefix(unet) for file in files if file.startswith(unet)]
    descriptions = (f"{unet}config.json", _INDEX, *_SCHEDULERS, *(f"{unet}{file}" for file in _SCHEDULERS))
    weights = choose_weights([name for name in inside if "/" not in name])
    return [file for file in dict.fromkeys(descriptions) if file in files], weights and unet + weights


def choose_weights(names: Collection[str]) -> str | None:
    """The file, or index of shards, with a network's weights among the names of its folder's files."""
    for pattern in _WEIGHTS:
        if found := sorted(name for name in names if re.fullmatch(pattern, name)):
            return min(found, key=lambda name: [word in name for word in _LESS])
    return None


def _schedulers(unet: pathlib.Path) -> dict[pathlib.Path, dict[str, Any]]:
    """The schedulers' configurations in the folder of a network, or in that of its pipeline or training run.

    Raises:
      ConversionError: If one cannot be read, or the pipeline's pictures are latent variables.
    """
    unet = unet.resolve()
    roots = [unet, unet.parent]
    if unet.parent.name.startswith("checkpoint-"):  # of a training run, whose folder gets the pipeline
        roots.append(unet.parent.parent)
    indices = {root / _INDEX: read_json(root / _INDEX) for root in roots if (root / _INDEX).is_file()}
    pipelines = [root for root in roots if root / _INDEX in indices or unet.name in _UNETS]
    latent = [root / name for root in pipelines for name in _LATENT if (root / name).is_dir()]
    # The folder of an autoencoder that was left out still has its place in the index.
    latent += [index for index, parts in indices.items() if any(name in parts for name in _LATENT)]
    if latent:
        raise ConversionError(
            f"{latent[0]} shows that the network works on latent variables: it is no prior of pictures"
        )
    places = [root / file for root in roots for file in _SCHEDULERS]
    descriptions = {place: read_json(place) for place in places if place.is_file()}
    for index, parts in indices.items():
        if not descriptions and isinstance(kind := parts.get("scheduler"), list):
            descriptions[index] = {"_class_name": kind[-1]}  # the folder of the scheduler itself was not downloaded
    return descriptions


def _noise_schedule(scheduler: Mapping[str, Any], where: str) -> str:
    """Which of the library's schedules a scheduler's configuration is; missing fields stand for DDPM's."""
    name, steps = str(scheduler.get("_class_name", "DDPMScheduler")), scheduler.get("num_train_timesteps", 1000)
    kind = scheduler.get("beta_schedule", "linear")
    ends = (scheduler.get("beta_start", 1e-4), scheduler.get("beta_end", 0.02))
    prediction, trained = scheduler.get("prediction_type", "epsilon"), scheduler.get("trained_betas")
    problems = []
    if name not in _LIKE_DDPM and not all(field in scheduler for field in _BETAS):
        problems.append(f"a {name} without {', '.join(_BETAS)}, expected a DDPMScheduler or a relative of it")
    if prediction != "epsilon":
        problems.append(f"the network predicts {prediction!r}, expected 'epsilon'")
    problems += [f"{flag} is {scheduler[flag]}, expected False" for flag in _FLAGS if scheduler.get(flag)]
    if (clock := scheduler.get("timestep_type", "discrete")) != "discrete":
        problems.append(f"timestep_type is {clock!r}, expected 'discrete'")
    if steps != 1000 or trained is not None:
        problems.append(f"it was trained with {steps} steps{' of its own' if trained else ''}, expected 1000")
    if kind not in ("linear", "squaredcos_cap_v2") or (kind == "linear" and ends != (1e-4, 0.02)):
        problems.append(f"its betas are {kind} from {ends[0]} to {ends[1]}, expected linear, 0.0001 to 0.02, or cosine")
    require(problems, f"the scheduler of {where} is not supported")
    return "linear" if kind == "linear" else "cosine"
