"""Whatever training codes save: the moving average is taken and told, wrappers' names go, absurd configurations too."""

import json
import re
import time

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ADM_TINY, DATA
from test_convert import DDPM, SCHEDULER

import jaxrestore as jr
from convert_weights import diffusers, edm, guided_diffusion
from convert_weights.arrays import ConversionError
from convert_weights.cli import command
from convert_weights.containers import find_weights, is_average
from convert_weights.pickles import Record
from convert_weights.pipelines import read_pipeline
from convert_weights.reading import read_weights
from jaxrestore.priors import UNetConfig

torch = pytest.importorskip("torch")

RAW, EMA = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
COUNT = np.array(7)


def named(array, prefix=""):
    """A state dict of two tensors, its bias as large as its matrix, for it to be told apart."""
    return {f"{prefix}time_embed.0.weight": array, f"{prefix}time_embed.0.bias": array[0]}


DOTLESS = {f"model_ema.{name.replace('.', '')}": value for name, value in named(EMA, "diffusion_model.").items()}
LISTED = list(named(EMA).values())


class TestChoice:
    @pytest.mark.parametrize(
        ("content", "taken"),
        [
            ({"state_dict": named(RAW), "state_dict_ema": named(EMA)}, "state_dict_ema"),  # timm
            ({"model": named(RAW), "model_ema": named(EMA), "epoch": 3, "optimizer": {"state": {}}}, "model_ema"),
            ({"model_state_dict": named(RAW), "ema_state_dict": named(EMA)}, "ema_state_dict"),
            ({"params": named(RAW), "params_ema": named(EMA)}, "params_ema"),  # BasicSR
            ({"ema": named(EMA), "model": named(RAW), "step": COUNT}, "ema"),
            ({"net": named(RAW), "ema_0.9999": named(EMA)}, "ema_0.9999"),
            ({"netG": named(RAW), "netG_EMA": named(EMA)}, "netG_EMA"),
            ({"state": {"model": named(RAW), "ema": named(EMA)}}, "state.ema"),
            ({"model": named(RAW), "ema": {"shadow": named(EMA), "backup": named(RAW), "decay": 0.999}}, "ema.shadow"),
            (
                {"model": named(RAW), "ema": {"shadow_params": LISTED, "num_updates": 5}},
                "ema.shadow_params",
            ),  # torch_ema
            ({"model": named(RAW), "ema": LISTED}, "ema"),
            (
                {"state_dict": named(RAW), "callbacks": {"Ema": {"ema_state_dict": named(EMA)}}},
                "callbacks.Ema.ema_state_dict",
            ),
            ({"model": {}, "ema": named(EMA, "module."), "epoch": 3}, "ema"),
            (
                {"model": named(RAW, "module."), "model_ema": {**named(EMA, "module."), "n_averaged": COUNT}},
                "model_ema",
            ),
            (
                {
                    "model": named(RAW),
                    "ema": {**named(RAW, "online_model."), **named(EMA, "ema_model."), "step": COUNT},
                },
                "ema",
            ),
        ],
    )
    def test_moving_averages_are_preferred(self, content, taken):
        weights = find_weights(content, None, "file")
        assert weights.choice.startswith(f"weights taken from '{taken}', a moving average")
        assert set(weights.state) == set(named(EMA))
        for value in weights.state.values():
            assert (value == 1).all()

    @pytest.mark.parametrize(
        "state",
        [
            {**named(RAW, "model."), **named(EMA, "ema_model.")},
            {**named(RAW, "model."), **named(EMA, "model_ema."), "loss.weight": RAW},
            {**named(RAW, "net."), **named(EMA, "net_ema.module."), "net_ema.n_averaged": COUNT},
            {**named(RAW, "model.diffusion_model."), **DOTLESS, "model_ema.decay": np.array(0.999)},  # latent-diffusion
        ],
    )
    def test_moving_averages_inside_a_lightning_module_are_preferred(self, state):
        weights = find_weights({"state_dict": state, "epoch": 1, "optimizer_states": [{"state": {}}]}, None, "file")
        assert ", a moving average; " in weights.choice
        assert "further tensors left aside" in weights.choice
        assert set(weights.state) == set(named(EMA))
        assert all((value == 1).all() for value in weights.state.values())

    @pytest.mark.parametrize(
        "content",
        [
            {"step": COUNT, "betas": EMA[0], "state_dict": named(EMA)},  # tensors and numbers at the top
            {"network_fn_state_dict": named(EMA), "loss": 0.1},
            {"state_dict": named(EMA), "model_best": named(RAW)},
            {"generator": {"weights": named(EMA)}, "optimizer": {"layer.weight": {"exp_avg": RAW}}, "ema": None},
            {"model": named(EMA), "ema": {}, "ema_decay": 0.999, "opt": named(RAW), "optimizerG": {"m": RAW}},
            named(EMA),
            {"rng_state": np.zeros((2, 2), np.uint8), **named(EMA)},
        ],
    )
    def test_raw_weights_are_taken_where_there_are_no_others(self, content):
        weights = find_weights(content, None, "file")
        assert {name: weights.state[name].sum() for name in named(EMA)} == {
            name: a.sum() for name, a in named(EMA).items()
        }
        assert "average" not in weights.choice

    @pytest.mark.parametrize(
        "prefix",
        ["module.", "module.module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "model.net.module.",
         "model.diffusion_model.", "_fsdp_wrapped_module.", "denoiser.", "unet._orig_mod."],
    )  # fmt: skip
    def test_wrappers_leave_the_names(self, prefix):
        state = {f"{prefix}time_embed.0.weight": EMA, f"{prefix}time_embed._orig_mod.0.bias": EMA[0]}
        weights = find_weights(state, None, "file")
        assert list(weights.state) == list(named(EMA))
        if words := prefix.replace("_orig_mod.", "").replace("_fsdp_wrapped_module.", ""):
            assert weights.choice == f"names without {words!r}"

    def test_names_of_networks_are_no_wrappers(self):
        state = {"adapter.model.down.0.weight": EMA, "lin0.model.1.weight": EMA, "features.0.weight": EMA}
        assert find_weights(state, None, "file") == (state, "")

    def test_the_container_can_be_chosen(self):
        content = {
            "state_dict": {**named(RAW, "model."), **named(EMA, "ema_model.")},
            "ema": {"shadow": named(EMA)},
            "bias": {"bias": RAW[0]},
        }
        for container, value in (
            ("ema", 1), ("ema.shadow", 1), ("state_dict", 1), ("state_dict.ema_model", 1), ("state_dict.model", 0)
        ):  # fmt: skip
            weights = find_weights(content, container, "file")
            assert list(weights.state) == list(named(EMA))
            assert all((a == value).all() for a in weights.state.values()), container
        assert list(find_weights(content, "bias", "file").state) == ["bias"]
        assert (find_weights(content["state_dict"], "model", "file").state["time_embed.0.weight"] == 0).all()
        for container in ("raw", "state_dict.raw", "ema.shadow.module", ""):
            with pytest.raises(
                ConversionError, match=f"no container '{container}'; there are: 'state_dict', 'ema', 'bias'"
            ):
                find_weights(content, container, "file")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                {"ema_0.999": named(EMA), "ema_0.9999": named(EMA)},
                "has weights in 'ema_0.999', 'ema_0.9999'; choose with --container",
            ),
            ({"a": named(RAW), "b": named(RAW)}, "has weights in 'a', 'b'"),
            (
                {**named(RAW, "net."), **named(RAW, "denoiser.")},
                "has weights of denoiser, net; choose with --container",
            ),
            (
                {"model": named(RAW), "ema": {"shadow_params": [EMA]}},
                "has moving averages in 'ema' in a form that is not read; --container takes raw weights: 'model'",
            ),
            ({"model": named(RAW), "ema": [EMA, EMA]}, "has moving averages in 'ema'"),
            (
                {**named(RAW, "model."), "model_ema.otherweight": EMA},
                "names are not those of the weights under 'model.'",
            ),
            ({"_orig_mod.a": EMA, "a": EMA}, "tensors of one name twice"),
            ({"epoch": 3}, "holds no tensors; its entries are 'epoch'"),
            ({}, "its entries are none"),
            ([EMA], "holds a list, expected a mapping"),
        ],
    )
    def test_what_is_not_certain_is_not_guessed(self, content, message):
        with pytest.raises(ConversionError, match=re.escape(message)):
            find_weights(content, None, "file")

    def test_an_average_inside_an_object_is_no_reason_to_take_raw_weights(self):
        record = Record()
        record.__setstate__({"_parameters": {"w": EMA}})
        with pytest.raises(ConversionError, match="has moving averages in 'ema'"):
            find_weights({"model": named(RAW), "ema": record}, None, "file")

    def test_words_tell_an_average(self):
        assert all(map(is_average, ("ema", "EMA", "model_ema", "emaModel", "ema_0.9999", "shadow_params", "swa_model")))
        assert not any(map(is_average, ("model", "schema", "cinema", "avgpool", "emanation", "swan")))

    def test_the_command_prints_the_choice(self, tmp_path):
        with np.load(DATA / "adm_tiny.npz") as stored:
            state = {name: torch.from_numpy(value) for name, value in stored.items()}
        content = {
            "step": torch.tensor(5),
            "state_dict": {f"module.{name}": torch.zeros_like(value) for name, value in state.items()},
            "state_dict_ema": {f"_orig_mod.module.{name}": value for name, value in state.items()},
        }
        torch.save(content, tmp_path / "run.ckpt")
        arguments = [
            "guided-diffusion",
            tmp_path / "run.ckpt",
            "--num-head-channels",
            "16",
            "--out",
            tmp_path / "prior",
        ]
        result = CliRunner().invoke(command, [str(a) for a in arguments])
        assert result.exception is None, result.exception
        assert result.output.startswith(
            "weights taken from 'state_dict_ema', a moving average; not from 'state_dict'; names without 'module.'\n"
        )
        assert jr.load_prior(tmp_path / "prior").config == ADM_TINY


def network_folder(path, value=0.0, scheduler=None, weights="diffusion_pytorch_model.bin", **config):
    """A folder of a UNet2DModel with one tensor of the given value."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({**DDPM, **config}))
    torch.save({"conv_in.bias": torch.full((32,), value)}, path / weights)
    return path


def write_scheduler(path, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**SCHEDULER, **changes}))


def test_the_average_that_lies_beside_raw_weights_is_told(tmp_path):
    for name in ("model000123.pt", "ema_0.999_000123.pt", "ema_0.9999_000123.pt", "ema_0.9999_000124.pt"):
        torch.save({"out.2.weight": torch.eye(2)}, tmp_path / name)
    told = read_weights(tmp_path / "model000123.pt").choice
    assert told == "beside it lies ema_0.9999_000123.pt, a moving average: give that file to take it"
    assert read_weights(tmp_path / "ema_0.9999_000123.pt").choice == ""


def test_a_state_dict_of_edm_may_be_in_a_container(tmp_path):
    torch.save({"ema": {f"model.{name}": torch.eye(2) for name in ("a", "b")}}, tmp_path / "run.pt")
    (tmp_path / "run.pkl").write_bytes(b"")
    for name, message in (("run.pt", "this is no ADM network of EDM"), ("run.pkl", "leave --container out")):
        arguments = ["edm", tmp_path / name, "--container", "ema", "--out", tmp_path / "prior"]
        result = CliRunner().invoke(command, [str(a) for a in arguments])
        assert isinstance(result.exception, ConversionError)
        assert message in str(result.exception)


class TestPipelines:
    def test_the_moving_average_beside_the_raw_weights_is_taken(self, tmp_path):
        network_folder(tmp_path / "unet", 0.0)
        network_folder(tmp_path / "unet_ema", 1.0, decay=0.999)
        pipeline = read_pipeline(tmp_path)
        assert pipeline.state["conv_in.bias"][0] == 1
        assert pipeline.choice == "weights taken from unet_ema/diffusion_pytorch_model.bin, a moving average"
        raw = read_pipeline(tmp_path / "unet")
        assert raw.state["conv_in.bias"][0] == 0
        assert "not from" in raw.choice
        assert "unet_ema, which has a moving average" in raw.choice

    def test_full_precision_is_preferred_to_variants(self, tmp_path):
        folder = network_folder(tmp_path / "ddpm", 16.0, weights="diffusion_pytorch_model.fp16.bin")
        assert read_pipeline(folder).choice == "weights taken from ddpm/diffusion_pytorch_model.fp16.bin"
        torch.save({"conv_in.bias": torch.zeros(32)}, folder / "diffusion_pytorch_model.non_ema.bin")
        assert read_pipeline(folder).state["conv_in.bias"][0] == 16
        torch.save({"conv_in.bias": torch.ones(32)}, folder / "diffusion_pytorch_model-00001-of-00001.bin")
        index = {"weight_map": {"conv_in.bias": "diffusion_pytorch_model-00001-of-00001.bin"}}
        (folder / "diffusion_pytorch_model.bin.index.json").write_text(json.dumps(index))
        assert read_pipeline(folder).state["conv_in.bias"][0] == 1
        torch.save({"conv_in.bias": torch.full((32,), 2.0)}, folder / "diffusion_pytorch_model.bin")
        assert read_pipeline(folder).state["conv_in.bias"][0] == 2

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is True, expected False"),
            ({"prediction_type": "v_prediction"}, "the network predicts 'v_prediction', expected 'epsilon'"),
            ({"beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is True"),
            ({"num_train_timesteps": 4000}, "it was trained with 4000 steps, expected 1000"),
            ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}, "timestep_type is 'continuous'"),
            ({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_flow_sigmas": True}, "use_flow_sigmas is True"),
        ],
    )
    @pytest.mark.parametrize(
        ("given", "place"),
        [
            ("run", "run/scheduler_config.json"),
            ("run", "run/scheduler/scheduler_config.json"),
            ("run/unet", "run/scheduler/scheduler_config.json"),
            ("run/unet", "run/scheduler_config.json"),
            ("run/unet", "run/unet/scheduler_config.json"),
            ("run/checkpoint-500", "run/scheduler/scheduler_config.json"),
            ("run/checkpoint-500/unet_ema", "run/scheduler/scheduler_config.json"),
        ],
    )
    def test_schedulers_are_looked_at_wherever_they_lie(self, tmp_path, given, place, changes, message):
        network_folder(tmp_path / "run" / "unet")
        network_folder(tmp_path / "run" / "checkpoint-500" / "unet_ema")
        write_scheduler(tmp_path / place)
        assert read_pipeline(tmp_path / given).noise_schedule == "linear"
        write_scheduler(tmp_path / place, **changes)
        with pytest.raises(ConversionError, match=re.escape(message)) as error:
            read_pipeline(tmp_path / given)
        assert place in str(error.value)

    @pytest.mark.parametrize("name", ["ScoreSdeVeScheduler", "FlowMatchEulerDiscreteScheduler", "KarrasVeScheduler"])
    def test_schedulers_without_betas_are_refused(self, tmp_path, name):
        network_folder(tmp_path / "unet")
        (tmp_path / "model_index.json").write_text(json.dumps({"scheduler": ["diffusers", name]}))
        with pytest.raises(ConversionError, match=f"model_index.json is not supported: a {name} without beta_schedule"):
            read_pipeline(tmp_path)
        (tmp_path / "scheduler_config.json").write_text(json.dumps({"_class_name": name, "num_train_timesteps": 1000}))
        with pytest.raises(ConversionError, match=f"scheduler_config.json is not supported: a {name}"):
            read_pipeline(tmp_path)

    def test_two_schedulers_must_agree(self, tmp_path):
        network_folder(tmp_path / "unet")
        write_scheduler(tmp_path / "scheduler_config.json")
        write_scheduler(tmp_path / "scheduler" / "scheduler_config.json", beta_schedule="squaredcos_cap_v2")
        with pytest.raises(ConversionError, match="have different betas"):
            read_pipeline(tmp_path)

    def test_networks_of_latent_variables_are_refused(self, tmp_path):
        network_folder(tmp_path / "unet")
        (tmp_path / "vqvae").mkdir()
        with pytest.raises(ConversionError, match="vqvae shows that the network works on latent variables"):
            read_pipeline(tmp_path)

    @pytest.mark.parametrize("given", [".", "unet"])
    def test_networks_of_latent_variables_are_refused_without_their_autoencoder(self, tmp_path, given):
        network_folder(tmp_path / "unet")
        (tmp_path / "model_index.json").write_text(json.dumps({"vae": ["diffusers", "AutoencoderKL"]}))
        with pytest.raises(ConversionError, match="model_index.json shows that the network works on latent variables"):
            read_pipeline(tmp_path / given)

    def test_a_linear_schedule_without_a_file_is_said_to_be_assumed(self, tmp_path):
        pipeline = read_pipeline(network_folder(tmp_path / "unet"))
        assert (pipeline.noise_schedule, pipeline.scheduler) == ("linear", None)
        assert "taken as trained with DDPM's linear betas" in pipeline.remarks[1]
        (tmp_path / "model_index.json").write_text(json.dumps({"scheduler": ["diffusers", "DDPMScheduler"]}))
        assert len(read_pipeline(tmp_path).remarks) == 2  # the class alone tells no betas
        write_scheduler(tmp_path / "scheduler_config.json")
        assert len(read_pipeline(tmp_path).remarks) == 1


def minimal_state():
    """The outermost tensors of a UNet2DModel with 32 channels."""
    shapes = {
        "time_embedding.linear_1.weight": (128, 32),
        "conv_out.weight": (3, 32, 3, 3),
        "conv_in.weight": (32, 3, 3, 3),
        "down_blocks.0.resnets.0.conv1.weight": (32, 32, 3, 3),
    }
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


class TestAbsurdConfigurations:
    @pytest.fixture(autouse=True)
    def quickly(self):
        start = time.perf_counter()
        yield
        assert time.perf_counter() - start < 3  # some would take minutes, and gigabytes

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"layers_per_block": 10_000}, "missing down_blocks.0.resnets.1.conv1.weight"),
            ({"layers_per_block": 10**18}, "missing down_blocks.0.resnets.1.conv1.weight"),
            (
                {"block_out_channels": [32] * 100_000, "down_block_types": ["DownBlock2D"] * 100_000,
                 "up_block_types": ["UpBlock2D"] * 100_000},
                "there are 100000 levels",
            ),
            ({"down_block_types": ["DownBlock2D"] * 100_000}, "there are 2 block_out_channels for 100000 and 2 blocks"),
            ({"block_out_channels": [32, 32 * 10**12]}, "missing down_blocks.0.downsamplers.0.conv.weight"),
            ({"block_out_channels": [32 * 10**9, 32]}, "has shape (128, 32), expected 128000000000, 32000000000 first"),
            ({"in_channels": 10**30}, "conv_in.weight has shape (32, 3, 3, 3), expected 32, 1000"),
            ({"out_channels": 10**30}, "conv_out.weight has shape"),
            ({"num_class_embeds": 10**30}, "class_embedding.weight is missing"),
            ({"block_out_channels": []}, "config.json does not make a network"),
            ({"block_out_channels": None}, "config.json does not make a network"),
            ({"block_out_channels": [0, 0]}, "expected 1 to 16 levels"),
            ({"layers_per_block": "2"}, "config.json does not make a network"),
            ({"down_block_types": [["DownBlock2D"], {}]}, "config.json does not make a network"),
            ({"freq_shift": None}, "config.json does not make a network"),
            ({"norm_num_groups": 0}, "config.json does not make a network"),
        ],
    )  # fmt: skip
    def test_of_diffusers_are_refused_before_a_network_is_built(self, changes, message):
        with pytest.raises(ConversionError) as error:
            diffusers.convert(minimal_state(), diffusers.read_config({**DDPM, **changes}), cosine_first=True)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 1500

    def test_configurations_are_held_against_the_tensors(self):
        with pytest.raises(ConversionError, match="missing input_blocks.1.0.in_layers.2.weight"):
            guided_diffusion.convert({}, UNetConfig(num_res_blocks=10**9))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"input_blocks.999999.0.in_layers.0.weight": (32,)}, "numbered up to 999999, but only"),
            ({f"input_blocks.{'9' * 5000}.0.in_layers.0.weight": (32,)}, "unexpected input_blocks.9999"),
            ({"time_embed.0.weight": (4,)}, "the network is not recognised"),
            ({"time_embed.0.weight": (4, 0)}, "expected 1 to 16 levels"),
            ({"time_embed.0.weight": (0, 32 * 10**12)}, "expected 128000000000000, 32000000000000 first"),
            ({"input_blocks.1.0.out_layers.3.weight": ()}, "the network is not recognised"),
        ],
    )
    def test_of_guided_diffusion_are_refused(self, changes, message):
        with np.load(DATA / "adm_tiny.npz") as stored:
            state = {**stored, **{name: np.empty(shape, np.float32) for name, shape in changes.items()}}
        with pytest.raises(ConversionError, match=message):
            guided_diffusion.convert(state, guided_diffusion.infer_config(state, num_head_channels=1))

    def test_of_edm_are_refused(self):
        weight = np.zeros((32, 32, 3, 3), np.float32)
        state = {"map_layer0.weight": np.zeros((128, 32), np.float32), "out_conv.weight": weight}
        sides = [2**30 - i for i in range(5000)]
        state |= {f"enc.{side}x{side}_block0.conv0.weight": weight for side in sides}
        state[f"enc.{sides[0]}x{sides[0]}_conv.weight"] = weight
        with pytest.raises(ConversionError, match="there are 5000 levels"):
            edm.infer_config(state)

    def test_numbers_that_are_no_weights_are_refused(self):
        with np.load(DATA / "adm_tiny.npz") as stored:
            state = dict(stored)
        for dtype in (np.int8, np.complex64, np.bool_):
            changed = {**state, "out.2.bias": state["out.2.bias"].astype(dtype)}
            with pytest.raises(ConversionError, match=f"out.2.bias has dtype {np.dtype(dtype)}, expected real numbers"):
                guided_diffusion.convert(changed, ADM_TINY)
