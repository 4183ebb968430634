"""Published checkpoints become priors that compute what PyTorch computes; what is unsafe or does not fit is refused."""

import dataclasses
import io
import json
import os
import pickle
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ADM_TINY, DATA, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxrestore as jr
from convert_weights import diffusers, edm, guided_diffusion, reading, verify
from convert_weights.cli import command
from convert_weights.pickles import read_pickle
from convert_weights.reading import ConversionError
from jaxrestore.priors import NetworkPrior, UNetConfig

torch = pytest.importorskip("torch")


def convert(*arguments, fails=None):
    """Run the command; returns what it printed, or checks the error."""
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    if fails is None:
        assert result.exception is None, result.exception
        return result.output
    assert isinstance(result.exception, (ConversionError, OSError, ValueError)), result.output
    assert fails in str(result.exception)
    return str(result.exception)


def random_state(shapes, seed=0):
    """Weights without zeros, of a size that keeps activations near one."""
    rng, state = np.random.default_rng(seed), {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        value = rng.standard_normal(shape)
        if len(shape) > 1:
            value = value / np.sqrt(np.prod(shape[1:]))
        else:
            value = 0.1 * value + ("norm" in name and name.endswith("weight"))
        state[name] = value.astype(np.float32)
    return state


@pytest.fixture(scope="module")
def adm_state():
    with np.load(DATA / "adm_tiny.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def adm_file(adm_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "adm_tiny.pt"
    torch.save({name: torch.from_numpy(value) for name, value in adm_state.items()}, path)
    return path


class TestGuidedDiffusion:
    def test_a_checkpoint_becomes_a_prior(self, adm_file, adm_tiny, tmp_path):
        printed = convert("guided-diffusion", adm_file, "--num-head-channels", 16, "--out", tmp_path / "prior")
        prior = jr.load_prior(tmp_path / "prior")
        assert prior.config == ADM_TINY
        for name, value in adm_tiny.params.items():
            np.testing.assert_array_equal(prior.params[name], value)
        header = json.loads((tmp_path / "prior" / "prior.json").read_text())
        assert header["sha256"] in printed
        assert "1,371,974 parameters" in printed

    @pytest.mark.slow
    def test_verification_is_against_azula(self, adm_file, tmp_path):
        pytest.importorskip("azula")
        printed = convert(
            "guided-diffusion", adm_file, "--num-heads", 2, "--attention-order", "new", "--dtype", "bfloat16",
            "--verify", "--out", tmp_path / "prior",
        )  # fmt: skip
        assert float(printed.split("float32: ")[1].split()[0]) < 1e-5
        stored = float(printed.split("output from storing bfloat16: ")[1].split()[0])
        assert 1e-4 < stored < 3e-2

    @pytest.mark.parametrize("half", ["float16", "bfloat16"])
    def test_half_precision_halves_the_file(self, adm_file, tmp_path, half):
        printed = convert(
            "guided-diffusion", adm_file, "--num-head-channels", 16, "--dtype", half, "--out", tmp_path / half
        )
        assert "2.7 MB" in printed
        error = float(printed.split(f"storing {half}: ")[1].split()[0])
        assert {"float16": 1e-5, "bfloat16": 1e-3}[half] < error < {"float16": 1e-3, "bfloat16": 1e-2}[half]

    def test_containers_prefixes_and_safetensors_are_read(self, adm_state, adm_file, tmp_path):
        from safetensors.torch import save_file

        tensors = {f"module.{name}": torch.from_numpy(value) for name, value in adm_state.items()}
        nested = {"model": {}, "ema": tensors, "epoch": 3}
        torch.save(nested, tmp_path / "nested.ckpt")
        torch.save(tensors, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
        half = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
        save_file(half, tmp_path / "half.safetensors")
        for name, exact in (("nested.ckpt", True), ("legacy.pth", True), ("half.safetensors", False)):
            state = reading.read_state(tmp_path / name)
            assert set(state) == set(adm_state)
            for key, value in state.items():
                np.testing.assert_allclose(np.float32(value), adm_state[key], rtol=0 if exact else 2**-8)
        with pytest.raises(ConversionError, match="no container 'raw'; there are: 'model', 'ema'"):
            reading.read_state(tmp_path / "nested.ckpt", container="raw")

    @settings(max_examples=25)
    @given(
        mult=st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=4),
        count=st.integers(1, 3),
        attention=st.sets(st.sampled_from([1, 2, 4, 8])),
        updown=st.booleans(),
        conv=st.booleans(),
        film=st.booleans(),
        classes=st.sampled_from([None, 7]),
        learned=st.booleans(),
    )
    def test_the_configuration_is_read_from_the_tensors(
        self, mult, count, attention, updown, conv, film, classes, learned
    ):
        unet = pytest.importorskip("azula.plugins.adm._src.unet")
        attention = tuple(sorted(a for a in attention if a < 2 ** len(mult)))
        with torch.device("meta"):
            network = unet.UNetModel(
                16, 3, 32, 6 if learned else 3, count, attention, channel_mult=mult, conv_resample=conv,
                num_classes=classes, num_head_channels=32, use_scale_shift_norm=film, resblock_updown=updown,
            )  # fmt: skip
        config = guided_diffusion.infer_config(network.state_dict(), num_head_channels=32)
        expected = UNetConfig(
            out_channels=6 if learned else 3, model_channels=32, channel_mult=tuple(mult), num_res_blocks=count,
            attention_resolutions=attention, middle_attention=True, num_head_channels=32, num_classes=classes,
            scale_shift_norm=film, resblock_updown=updown, conv_resample=conv,
        )  # fmt: skip
        if len(mult) == 1:  # a single level is never resampled
            expected = dataclasses.replace(expected, resblock_updown=True, conv_resample=True)
        elif updown:  # residual blocks resample: the other flag has no meaning
            expected = dataclasses.replace(expected, conv_resample=True)
        assert config == expected

    @pytest.mark.parametrize("preset", guided_diffusion.PRESETS)
    def test_published_networks_fit_their_presets_alone(self, preset):
        cards = pytest.importorskip("azula.plugins.utils").load_cards("azula.plugins.adm")
        unet = pytest.importorskip("azula.plugins.adm._src.unet")
        names = {"ffhq256": "ffhq_256x256", "imagenet256": "imagenet_256x256", "lsun256": "imagenet_256x256"}
        card = dict(cards[names.get(preset, f"imagenet_{preset[8:]}x{preset[8:]}_cond")].config)
        schedule, _ = card.pop("discrete_schedule"), card.pop("discrete_steps")
        side, heads = card["image_size"], {k: card.get(k) for k in ("num_heads", "num_head_channels")}
        card["attention_resolutions"] = [side // r for r in card["attention_resolutions"]]
        if preset == "imagenet512":  # azula states 256 there, where OpenAI's flags say 512
            card["attention_resolutions"] = [512 // r for r in (32, 16, 8)]
        card["model_channels"] = card.pop("num_channels")
        with torch.device("meta"):
            state = unet.UNetModel(in_channels=3, out_channels=6, **card).state_dict()
        config = guided_diffusion.infer_config(state, preset)
        assert config.num_head_channels == heads["num_head_channels"]
        assert config.num_heads == (heads["num_heads"] or 1)
        assert config.attention_order == ("new" if card.get("use_new_attention_order") else "legacy")
        assert guided_diffusion.PRESETS[preset].noise_schedule == schedule
        for other in set(guided_diffusion.PRESETS) - {preset}:
            if {preset, other} != {"imagenet256", "lsun256"}:  # the same network, trained on other pictures
                with pytest.raises(ConversionError, match=f"no {other} checkpoint"):
                    guided_diffusion.infer_config(state, other)

    @pytest.mark.slow
    @settings(max_examples=3)  # each compiles a network
    @given(
        options=st.fixed_dictionaries(
            {
                "channel_mult": st.sampled_from([(1, 2), (2, 1)]),
                "attention_resolutions": st.sampled_from([(), (1,), (2,)]),
                "attention_order": st.sampled_from(["legacy", "new"]),
                "num_head_channels": st.sampled_from([None, 16]),
                "num_classes": st.sampled_from([None, 5]),
                "scale_shift_norm": st.booleans(),
                "resblock_updown": st.booleans(),
                "conv_resample": st.booleans(),
                "out_channels": st.sampled_from([3, 6]),
            }
        )
    )
    def test_outputs_are_those_of_azula(self, options):
        pytest.importorskip("azula")
        config = UNetConfig(
            model_channels=32, num_res_blocks=1, num_heads=2, middle_attention=True,
            **{**options, "conv_resample": options["conv_resample"] or options["resblock_updown"]},
        )  # fmt: skip
        shapes = azula_shapes(config)
        state = random_state(shapes)
        error = verify.largest_error(config, guided_diffusion.convert(state, config), verify.azula_unet(config, state))
        assert error < 1e-5

    def test_a_wrong_head_order_is_another_network(self, adm_state):
        pytest.importorskip("azula")
        other = dataclasses.replace(ADM_TINY, attention_order="new")
        params = guided_diffusion.convert(adm_state, ADM_TINY)
        assert verify.largest_error(other, params, verify.azula_unet(ADM_TINY, adm_state)) > verify.TOLERANCE

    def test_what_cannot_be_read_must_be_given(self, adm_file, tmp_path):
        convert("guided-diffusion", adm_file, "--out", tmp_path / "x", fails="give --preset (ffhq256")
        convert(
            "guided-diffusion", adm_file, "--preset", "ffhq256", "--out", tmp_path / "x",
            fails="this is no ffhq256 checkpoint: channel_mult is (1, 2, 2), expected (1, 1, 2, 2, 4, 4)",
        )  # fmt: skip
        convert(
            "guided-diffusion", adm_file, "--num-heads", 7, "--out", tmp_path / "x", fails="do not divide into heads"
        )
        assert not list(tmp_path.iterdir())


def azula_shapes(config):
    unet = pytest.importorskip("azula.plugins.adm._src.unet")
    with torch.device("meta"):
        network = unet.UNetModel(
            16, 3, config.model_channels, config.out_channels, config.num_res_blocks, config.attention_resolutions,
            channel_mult=config.channel_mult, conv_resample=config.conv_resample, num_classes=config.num_classes,
            use_scale_shift_norm=config.scale_shift_norm, resblock_updown=config.resblock_updown,
            num_heads=config.num_heads, num_head_channels=config.num_head_channels or -1,
        )  # fmt: skip
    return {name: value.shape for name, value in network.state_dict().items()}


class TestRefusals:
    def spoiled(self, adm_state, tmp_path, change):
        state = dict(adm_state)
        change(state)
        path = tmp_path / "spoiled.pt"
        torch.save({name: torch.from_numpy(np.array(value)) for name, value in state.items()}, path)
        return path

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s.pop("middle_block.0.in_layers.2.weight"), "missing middle_block.0.in_layers.2.weight"),
            (lambda s: s.update(extra=np.zeros(3)), "unexpected extra"),
            (
                lambda s: s.update({"out.0.bias": np.zeros(5, np.float32)}),
                "out.0.bias (5,) does not fit norm_out.bias (32,)",
            ),
            (lambda s: s["out.2.bias"].__setitem__(0, np.nan), "out.2.bias has values that are not finite"),
            (lambda s: s.pop("time_embed.0.weight"), "this is no guided-diffusion UNet: it lacks time_embed.0.weight"),
            (lambda s: s.pop("out.2.weight"), "a classifier has no decoder"),
        ],
    )
    def test_tensors_that_do_not_fit_are_listed(self, adm_state, tmp_path, change, message):
        copied = {name: value.copy() for name, value in adm_state.items()}
        path = self.spoiled(copied, tmp_path, change)
        out = tmp_path / "out"
        convert("guided-diffusion", path, "--num-head-channels", 16, "--out", out, fails=message)
        assert not out.exists()
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    def test_code_is_refused_and_not_executed(self, tmp_path):
        marker = tmp_path / "executed"

        class Attack:
            def __reduce__(self):
                return os.mkdir, (str(marker),)

        for path, save in (
            (tmp_path / "new.pt", lambda p: torch.save({"w": Attack()}, p)),
            (tmp_path / "old.pt", lambda p: torch.save({"w": Attack()}, p, _use_new_zipfile_serialization=False)),
            (tmp_path / "bare.pt", lambda p: p.write_bytes(pickle.dumps({"w": Attack()}))),
        ):
            save(path)
            convert("guided-diffusion", path, "--out", tmp_path / "x", fails="is refused: it holds more than tensors")
        for name, arguments in (("net.pkl", ["edm"]), ("alexnet.ckpt", ["lpips", "--network", "alex"])):
            (tmp_path / name).write_bytes(pickle.dumps({"ema": Attack()}))
            convert(*arguments, tmp_path / name, "--out", tmp_path / "x", fails="posix.mkdir, which is no data")
        assert not marker.exists()

    @pytest.mark.parametrize("size", [0, 100, 40_000, -1])
    def test_truncated_files_are_refused(self, adm_file, tmp_path, size):
        path = tmp_path / "cut.pt"
        path.write_bytes(adm_file.read_bytes()[:size])
        convert("guided-diffusion", path, "--num-head-channels", 16, "--out", tmp_path / "x", fails="is damaged or no")
        path.rename(tmp_path / "cut.safetensors")
        convert("guided-diffusion", tmp_path / "cut.safetensors", "--out", tmp_path / "x", fails="no whole safetensors")

    def test_existing_folders_are_kept(self, adm_file, tmp_path):
        (tmp_path / "out").mkdir()
        arguments = ("guided-diffusion", adm_file, "--num-head-channels", 16, "--out", tmp_path / "out")
        convert(*arguments, fails="exists")
        assert not list((tmp_path / "out").iterdir())
        convert(*arguments, "--force")
        assert (tmp_path / "out" / "prior.json").exists()

    def test_a_missing_file_is_named(self, tmp_path):
        convert("guided-diffusion", tmp_path / "absent.pt", "--out", tmp_path / "x", fails="absent.pt is no file")


DDPM = {  # google/ddpm-cifar10-32 with fewer channels
    "_class_name": "UNet2DModel",
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": [32, 64],
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 32,
    "time_embedding_type": "positional",
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}
SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": True,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "variance_type": "fixed_large",
}


class TestDiffusers:
    def folder(self, path, config=DDPM, scheduler=SCHEDULER, seed=0):
        library = pytest.importorskip("diffusers")
        from safetensors.torch import save_file

        network = library.UNet2DModel.from_config(config)
        state = random_state({name: value.shape for name, value in network.state_dict().items()}, seed)
        path.mkdir()
        (path / "config.json").write_text(json.dumps(config))
        (path / "scheduler_config.json").write_text(json.dumps(scheduler))
        save_file({k: torch.from_numpy(v) for k, v in state.items()}, path / "diffusion_pytorch_model.safetensors")
        return state

    @pytest.mark.slow
    def test_a_folder_becomes_a_verified_prior(self, tmp_path):
        self.folder(tmp_path / "ddpm")
        printed = convert("diffusers", tmp_path / "ddpm", "--verify", "--out", tmp_path / "prior")
        assert float(printed.split("float32: ")[1].split()[0]) < 1e-5
        prior = jr.load_prior(tmp_path / "prior")
        x = jax.random.normal(jax.random.key(0), (32, 32, 3))
        assert bool(jnp.isfinite(jax.jit(prior.denoise)(x, jnp.float32(0.5))).all())

    @pytest.mark.slow
    @settings(max_examples=3)
    @given(
        attention=st.tuples(st.booleans(), st.booleans()),
        resample=st.sampled_from(["conv", "resnet"]),
        changes=st.fixed_dictionaries(
            {
                "attention_head_dim": st.sampled_from([None, 8]),
                "downsample_padding": st.sampled_from([0, 1]),
                "flip_sin_to_cos": st.booleans(),
                "freq_shift": st.sampled_from([0, 1]),
                "norm_num_groups": st.sampled_from([8, 32]),
                "num_class_embeds": st.sampled_from([None, 6]),
                "block_out_channels": st.sampled_from([[32, 64], [64, 96]]),
                "resnet_time_scale_shift": st.sampled_from(["default", "scale_shift"]),
            }
        ),
    )
    def test_outputs_are_those_of_diffusers(self, attention, resample, changes):
        library = pytest.importorskip("diffusers")
        plain = {"conv": "DownBlock2D", "resnet": "ResnetDownsampleBlock2D"}[resample]
        down = ["AttnDownBlock2D" if has else plain for has in attention]
        up = [name.replace("Downsample", "Upsample").replace("Down", "Up") for name in reversed(down)]
        config = {**DDPM, **changes, "down_block_types": down, "up_block_types": up}
        config |= {"downsample_type": resample, "upsample_type": resample}
        config["attn_norm_num_groups"] = config["norm_num_groups"]
        network = library.UNet2DModel.from_config(config)
        state = random_state({name: value.shape for name, value in network.state_dict().items()})
        ours = diffusers.read_config(config)
        params = diffusers.convert(state, ours, cosine_first=config["flip_sin_to_cos"])
        assert verify.largest_error(ours, params, verify.diffusers_unet(config, state)) < 1e-5

    def test_names_of_old_files_are_known(self, tmp_path):
        state = self.folder(tmp_path / "ddpm")
        new = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        old = {}
        for name, value in state.items():
            for part, before in new.items():
                name = name.replace(f"attentions.0.{part}.", f"attentions.0.{before}.")
            old[name] = value
            if ".downsamplers.0.conv." in name:
                old[name.replace(".conv.", ".Conv2d_0.")] = value
        assert any(".query." in name for name in old)
        config = diffusers.read_config(DDPM)
        ours, modern = (diffusers.convert(s, config, cosine_first=False) for s in (old, state))
        for name, value in modern.items():
            np.testing.assert_array_equal(ours[name], value)

    @pytest.mark.parametrize(
        ("config", "scheduler", "message"),
        [
            ({"act_fn": "gelu"}, {}, "act_fn is 'gelu', expected 'silu' or 'swish'"),
            ({"time_embedding_type": "fourier"}, {}, "time_embedding_type is 'fourier'"),
            ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, {}, "block SkipDownBlock2D is not supported"),
            ({"up_block_types": ["UpBlock2D", "UpBlock2D"]}, {}, "levels with attention differ"),
            ({"_class_name": "AutoencoderKL"}, {}, "describes a AutoencoderKL"),
            ({}, {"prediction_type": "v_prediction"}, "predicts 'v_prediction', expected 'epsilon'"),
            ({}, {"beta_schedule": "scaled_linear"}, "its betas are scaled_linear"),
        ],
    )
    def test_what_has_no_counterpart_is_refused(self, tmp_path, config, scheduler, message):
        path = tmp_path / "ddpm"
        path.mkdir()
        (path / "config.json").write_text(json.dumps({**DDPM, **config}))
        (path / "scheduler_config.json").write_text(json.dumps({**SCHEDULER, **scheduler}))
        torch.save({"conv_in.bias": torch.zeros(32)}, path / "diffusion_pytorch_model.bin")
        convert("diffusers", path, "--out", tmp_path / "x", fails=message)

    def test_incomplete_folders_are_refused(self, tmp_path):
        convert("diffusers", tmp_path / "absent", "--out", tmp_path / "x", fails="is no folder")
        convert("diffusers", tmp_path, "--out", tmp_path / "x", fails="config.json does not exist")
        (tmp_path / "config.json").write_text("{")
        convert("diffusers", tmp_path, "--out", tmp_path / "x", fails="cannot be read as JSON")
        (tmp_path / "config.json").write_text(json.dumps(DDPM))
        convert("diffusers", tmp_path, "--out", tmp_path / "x", fails="has no weights")


@pytest.fixture(scope="module")
def edm_golden():
    with np.load(DATA / "edm_adm_tiny.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def edm_state(edm_golden):
    """The weights behind the numbers: seeded, in the order of their names."""
    shapes = json.loads(str(edm_golden["shapes"]))
    filters = {name for name in shapes if name.endswith("resample_filter")}
    constant = {name: np.full(shapes[name], 0.25, np.float32) for name in filters}
    return constant | random_state({name: shape for name, shape in shapes.items() if name not in filters}, seed=7)


class TestEDM:
    """The numbers come from NVlabs/edm, training/networks.py (commit 0a2ff34), DhariwalUNet in EDMPrecond."""

    @pytest.mark.slow
    def test_the_denoiser_is_the_published_one(self, edm_golden, edm_state):
        config = edm.infer_config(edm_state)
        params = {name: jnp.asarray(value) for name, value in edm.convert(edm_state, config).items()}
        prior = NetworkPrior(params, config=config, parametrization="edm")

        @jax.jit
        @jax.vmap
        def denoise(x, sigma, label):
            return dataclasses.replace(prior, label=label).denoise(x, sigma)

        x, sigma = np.moveaxis(edm_golden["x"], 1, -1), edm_golden["sigma"]
        denoised = denoise(x, sigma, edm_golden["label"])
        for value, expected in zip(denoised, np.moveaxis(edm_golden["denoised"], 1, -1), strict=True):
            assert relative_error(value, expected) < 1e-5

    def test_a_pickle_is_read_without_executing_its_source(self, edm_state, tmp_path, monkeypatch):
        marker = tmp_path / "executed"
        path = tmp_path / "net.pkl"
        path.write_bytes(nvidia_pickle(edm_state, f"open({str(marker)!r}, 'w')", monkeypatch))
        read = edm.read_network(path)
        assert set(read) == set(edm_state) - {n for n in edm_state if n.endswith("resample_filter")}
        for name, value in read.items():
            np.testing.assert_array_equal(value, edm_state[name])
        convert("edm", path, "--out", tmp_path / "prior")
        assert jr.load_prior(tmp_path / "prior").parametrization == "edm"
        assert not marker.exists()

    def test_other_networks_are_refused_with_the_way_out(self, edm_state, tmp_path, monkeypatch):
        path = tmp_path / "net.pkl"
        path.write_bytes(nvidia_pickle(edm_state, "", monkeypatch, network="SongUNet"))
        convert("edm", path, "--out", tmp_path / "x", fails="holds a SongUNet, expected a DhariwalUNet")
        path.write_bytes(pickle.dumps({"ema": 3}))
        convert("edm", path, "--out", tmp_path / "x", fails="export the state dict")
        path.write_bytes(path.read_bytes()[:-3])
        convert("edm", path, "--out", tmp_path / "x", fails="the pickle is damaged")

    def test_tensors_may_not_reach_beyond_their_storage(self):
        tensor = torch.arange(6.0).reshape(2, 3).T
        array = read_pickle(pickle.dumps(tensor), records=("torch.nn.",))
        np.testing.assert_array_equal(array, tensor.numpy())
        storage = tensor.untyped_storage()

        class Bad:
            def __reduce__(self):
                typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
                return torch._utils._rebuild_tensor_v2, (typed, 0, (100,), (1,), False, {})

        with pytest.raises(ConversionError, match="beyond its storage"):
            read_pickle(pickle.dumps(Bad()), records=("torch.nn.",))


def nvidia_pickle(state, source, monkeypatch, network="DhariwalUNet"):
    """A network pickled as NVIDIA's `torch_utils.persistence` does it: by a function that executes source code."""
    module = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("executed")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Persistent:
        def __init__(self, name, **modules):
            self.state = {"_parameters": {}, "_buffers": {}, "_modules": modules, "training": False}
            self.name = name

        def __reduce__(self):
            meta = {"type": "class", "version": 6, "module_src": source, "class_name": self.name, "state": self.state}
            return _reconstruct_persistent_obj, (meta,)

    root = Persistent(network)
    for name, value in state.items():
        *path, leaf = name.split(".")
        if leaf == "resample_filter":
            continue
        place = root.state
        for part in path:
            if part not in place["_modules"]:
                container = part in ("enc", "dec")  # these are torch's own, the rest are persistent
                place["_modules"][part] = torch.nn.ModuleDict() if container else Persistent("Layer")
            child = place["_modules"][part]
            place = child.__dict__ if isinstance(child, torch.nn.Module) else child.state
        place["_parameters"][leaf] = torch.nn.Parameter(torch.from_numpy(value))
    buffer = io.BytesIO()
    pickle.dump({"ema": Persistent("EDMPrecond", model=root), "loss_fn": Persistent("EDMLoss")}, buffer)
    return buffer.getvalue()
