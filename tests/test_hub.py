"""Networks of the Hugging Face hub by name, against a hub on this machine that speaks its protocol."""

import concurrent.futures
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from loopback import HubServer, running

import jaxrestore as jr
from convert_weights import diffusers, hub
from convert_weights.arrays import ConversionError
from convert_weights.cli import command
from convert_weights.unet import Naming, sources
from jaxrestore.priors import PriorError
from jaxrestore.priors.network import abstract_params
from jaxrestore.storage import cache

library = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (extra hub)")
constants = pytest.importorskip("huggingface_hub.constants")
save = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed (extra test)").save

NAME, FIRST, SECOND = "google/ddpm-tiny", "1" * 40, "2" * 40
CONFIG = {
    "_class_name": "UNet2DModel",
    "add_attention": False,
    "block_out_channels": [8],
    "down_block_types": ["DownBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "sample_size": 16,
    "up_block_types": ["UpBlock2D"],
}
SCHEDULER = {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "num_train_timesteps": 1000}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def network(seed=0):
    """The state dict of a UNet2DModel of `CONFIG`, with the one tensor that tells the seed."""
    config = diffusers.read_config(CONFIG)
    naming = Naming(diffusers._TOP, lambda part: diffusers._prefix(part, config), diffusers._FIELDS)
    state, rng = {}, np.random.default_rng(seed)
    for name, (keys, _) in sources(config, naming).items():
        shape = abstract_params(config)[name].shape  # channels last, where PyTorch's are first
        shape = (*shape[:1:-1], *shape[:2]) if len(shape) == 4 else shape[::-1]
        state[keys[0]] = rng.standard_normal(shape).astype(np.float32)
    state["conv_out.bias"][:] = seed
    return state


def described(description):
    return json.dumps(description).encode()


def pipeline(seed=0, prefix="", **scheduler):
    """The files of a repository like google's."""
    return {
        "README.md": b"---\nlicense: apache-2.0\n---\n",
        "model_index.json": described({"_class_name": "DDPMPipeline", "scheduler": ["diffusers", "DDPMScheduler"]}),
        "scheduler_config.json": described({**SCHEDULER, **scheduler}),
        f"{prefix}config.json": described(CONFIG),
        f"{prefix}{WEIGHTS}": save(network(seed)),
        f"{prefix}diffusion_pytorch_model.bin": b"the same again",
        f"{prefix}diffusion_pytorch_model.fp16.safetensors": b"the same with fewer bits",
        "images/sample.png": b"a picture",
    }


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A hub with one network, and caches of the hub's library and of ours that are empty."""
    with running(HubServer()) as server:
        server.repositories[NAME] = (FIRST, pipeline())
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for module in ("constants", "file_download"):  # the latter in releases before 1.0
            name = f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE"
            monkeypatch.setattr(name, template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "ours"))
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield server


def go_offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def clear(path):
    """An empty cache in the place of one that is filled."""
    path.rename(path.with_name(f"{path.name}-before"))


def seed_of(prior):
    return float(prior.params["conv_out.bias"][0])


def convert(*words):
    result = CliRunner().invoke(command, ["diffusers", *map(str, words)])
    if result.exception is not None:
        raise result.exception
    return result.stdout  # on standard error are the progress bars of the hub's library


class TestConvert:
    @pytest.mark.parametrize("name", [NAME, f"hf:{NAME}", f"{NAME}@main", f"{NAME}@{FIRST}"])
    def test_a_repository_becomes_a_prior(self, server, tmp_path, name):
        printed = convert(name, "--out", tmp_path / "prior")
        assert printed.startswith(f"licence: apache-2.0, {server.address}/{NAME}\nfetched into {tmp_path}/hub")
        assert f"weights taken from {FIRST}/{WEIGHTS}" in printed
        assert "is no folder here" not in printed  # which is told on standard error
        prior = jr.load_prior(tmp_path / "prior")
        np.testing.assert_array_equal(prior.params["time_in.bias"], network()["time_embedding.linear_1.bias"])
        info = json.loads((tmp_path / "prior" / "prior.json").read_text())["info"]
        assert (info["converted_from"], info["revision"]) == (NAME, FIRST)
        assert info["licence"].startswith("apache-2.0")

    def test_only_what_is_read_is_fetched(self, server, tmp_path):
        convert(NAME, "--out", tmp_path / "prior")
        fetched = {path.rpartition("/")[2] for path, _ in server.gets("/resolve/")}
        assert fetched == {"model_index.json", "scheduler_config.json", "config.json", WEIGHTS}

    def test_a_folder_of_that_name_comes_first(self, server, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / NAME).mkdir(parents=True)
        with pytest.raises(ConversionError, match="config.json does not exist"):
            convert(NAME, "--out", "prior")
        assert server.asked == []
        convert(f"hf:{NAME}", "--out", "prior")

    def test_pipelines_and_shards_are_put_together(self, server, tmp_path):
        state = network()
        halves = [dict(list(state.items())[i::2]) for i in (0, 1)]
        shards = {f"diffusion_pytorch_model-0000{i + 1}-of-00002.safetensors": half for i, half in enumerate(halves)}
        files = pipeline(prefix="unet/")
        files = {name: data for name, data in files.items() if not name.startswith("unet/diffusion")}
        files |= {f"unet/{name}": save(half) for name, half in shards.items()}
        places = {tensor: name for name, half in shards.items() for tensor in half}
        files[f"unet/{WEIGHTS}.index.json"] = described({"weight_map": places})
        server.repositories[NAME] = (FIRST, files)
        assert "weights taken from unet/diffusion_pytorch_model.safetensors.index.json" in convert(
            NAME, "--out", tmp_path / "prior"
        )
        assert jr.load_prior(tmp_path / "prior").config.model_channels == 8

    def test_half_precision_is_taken_where_there_is_no_other(self, server, tmp_path):
        kept = {name: data for name, data in pipeline().items() if not name.startswith("diffusion")}
        half = save({name: value.astype(np.float16) for name, value in network().items()})
        kept["diffusion_pytorch_model.fp16.safetensors"] = half
        server.repositories[NAME] = (FIRST, kept)
        assert "diffusion_pytorch_model.fp16.safetensors" in convert(NAME, "--out", tmp_path / "prior")

    def test_networks_that_are_no_priors_are_refused(self, server, tmp_path):
        index = {"_class_name": "LDMPipeline", "vqvae": ["diffusers", "VQModel"]}
        latent = {**pipeline(prefix="unet/"), "model_index.json": described(index)}
        server.repositories["some/latent"] = (FIRST, latent)
        server.repositories["some/velocity"] = (FIRST, pipeline(prediction_type="v_prediction"))
        server.repositories["some/text"] = (FIRST, {"config.json": b"{}", "model.safetensors": b""})
        for name, message in (
            ("latent", "works on latent variables"),
            ("velocity", "predicts 'v_prediction', expected 'epsilon'"),
            ("text", "has no network of diffusers; expected config.json and"),
        ):
            with pytest.raises(ConversionError, match=message):
                convert(f"some/{name}", "--out", tmp_path / "prior")
        assert not (tmp_path / "prior").exists()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("google/absent", "google/absent is no repository on the hub, nor a folder here; .*HF_TOKEN"),
            (f"{NAME}@absent", "google/ddpm-tiny on the hub has no revision 'absent'"),
            ("some/gated", "some/gated asks for consent: give it at http://127.0.0.1:[0-9]+/some/gated, then log in"),
            ("a/b/c", "a/b/c is no folder"),
        ],
    )
    def test_what_is_not_there_is_said(self, server, tmp_path, name, message):
        server.repositories["some/gated"] = (FIRST, pipeline())
        server.gated.add("some/gated")
        with pytest.raises(ConversionError, match=message):
            convert(name, "--out", tmp_path / "prior")

    def test_tokens_are_those_of_the_hubs_library(self, server, tmp_path, monkeypatch):
        server.gated.add(NAME)
        monkeypatch.setenv("HF_TOKEN", "hf_sesame")
        convert(NAME, "--out", tmp_path / "prior")
        assert set(server.tokens) == {"Bearer hf_sesame"}

    def test_a_cut_connection_is_gone_on_with(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)  # what arrived of a chunk is lost
        half = len(server.repositories[NAME][1][WEIGHTS]) // 2
        server.cuts = [half] * 4  # all descriptions are shorter: whichever file comes when, the weights are cut
        convert(NAME, "--out", tmp_path / "prior")
        assert server.gets(WEIGHTS)[0][1] is None
        assert server.gets(WEIGHTS)[1][1] == f"bytes={half // 1024 * 1024}-"
        bias = jr.load_prior(tmp_path / "prior").params["time_in.bias"]
        np.testing.assert_array_equal(bias, network()["time_embedding.linear_1.bias"])

    def test_a_connection_that_is_cut_again_and_again_is_given_up(self, server, tmp_path):
        server.cuts = [0] * 100
        with pytest.raises(
            ConversionError, match="google/ddpm-tiny at main (could not be fetched|is not in the hub's cache)"
        ):
            convert(NAME, "--out", tmp_path / "prior")
        server.cuts.clear()
        convert(NAME, "--out", tmp_path / "prior")

    def test_wrong_sizes_are_refused_and_not_kept(self, server, tmp_path):
        server.headers[WEIGHTS] = {"Content-Length": str(len(pipeline()[WEIGHTS]) + 7)}
        with pytest.raises(ConversionError, match="could not be fetched from the hub .*; run the same command again"):
            convert(NAME, "--out", tmp_path / "prior")
        assert not (tmp_path / "prior").exists()
        server.headers.clear()
        convert(NAME, "--out", tmp_path / "prior")

    def test_without_the_hubs_library_the_extra_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ConversionError, match=r"not installed: pip install 'jaxrestore\[hub\]'"):
            convert(NAME, "--out", tmp_path / "prior")


class TestLoad:
    def test_a_network_is_fetched_and_converted_once(self, server, tmp_path, capsys):
        prior = jr.load_prior(f"hf:{NAME}")
        told = capsys.readouterr().err
        assert f"licence: apache-2.0, {server.address}/{NAME}" in told
        assert f"converted into {tmp_path}/ours/priors/hf/google--ddpm-tiny/{FIRST}" in told
        clear(tmp_path / "hub")  # what was converted needs it no more
        server.asked.clear()
        again = jr.load_prior(f"hf:{NAME}", dtype="bfloat16")
        assert server.gets("/resolve/") == []
        assert again.config.dtype == "bfloat16"
        np.testing.assert_array_equal(prior.params["conv_out.kernel"], again.params["conv_out.kernel"])

    def test_a_branch_is_followed_and_a_commit_is_not(self, server):
        assert seed_of(jr.load_prior(f"hf:{NAME}")) == 0
        server.repositories[NAME] = (SECOND, pipeline(seed=2))
        assert seed_of(jr.load_prior(f"hf:{NAME}")) == 2
        server.asked.clear()
        assert seed_of(jr.load_prior(f"hf:{NAME}@{FIRST}")) == 0
        assert server.asked == []

    def test_offline_a_branch_means_what_it_meant_last(self, server, monkeypatch):
        jr.load_prior(f"hf:{NAME}@{FIRST}")
        server.repositories[NAME] = (SECOND, pipeline(seed=2))
        jr.load_prior(f"hf:{NAME}")
        server.repositories[NAME] = (FIRST, pipeline())
        jr.load_prior(f"hf:{NAME}")  # back to what is converted already
        go_offline(monkeypatch)
        assert seed_of(jr.load_prior(f"hf:{NAME}")) == 0

    @pytest.mark.slow
    def test_those_that_load_a_network_together_convert_it_once(self, server, capsys):
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            seeds = list(pool.map(lambda _: seed_of(jr.load_prior(f"hf:{NAME}")), range(3)))
        assert seeds == [0, 0, 0]
        assert capsys.readouterr().err.count("converted into") == 1

    def test_offline_what_was_converted_last_is_loaded(self, server, tmp_path, monkeypatch):
        jr.load_prior(f"hf:{NAME}")
        clear(tmp_path / "hub")
        go_offline(monkeypatch)
        server.asked.clear()
        assert seed_of(jr.load_prior(f"hf:{NAME}")) == 0
        assert server.asked == []

    def test_offline_the_hubs_cache_is_enough(self, server, tmp_path, monkeypatch):
        convert(NAME, "--out", tmp_path / "prior")
        go_offline(monkeypatch)
        assert seed_of(jr.load_prior(f"hf:{NAME}")) == 0
        assert "licence: not known without the hub" in convert(NAME, "--out", tmp_path / "again")

    def test_offline_with_empty_caches_says_so(self, server, monkeypatch):
        go_offline(monkeypatch)
        with pytest.raises(PriorError, match="is not in the hub's cache, and the hub cannot be reached"):
            jr.load_prior(f"hf:{NAME}")

    def test_offline_half_a_network_is_not_taken_for_one(self, server, tmp_path, monkeypatch):
        library.snapshot_download(NAME, allow_patterns=["config.json"])
        go_offline(monkeypatch)
        with pytest.raises(PriorError, match="is not in the hub's cache"):
            jr.load_prior(f"hf:{NAME}")

    @pytest.mark.parametrize("status", [500, 503])
    def test_a_hub_that_is_down_is_as_good_as_none(self, server, status):
        jr.load_prior(f"hf:{NAME}")
        server.down = status
        assert seed_of(jr.load_prior(f"hf:{NAME}")) == 0
        with pytest.raises(PriorError, match=f"the hub answers {status} to google/other at main; try again later"):
            jr.load_prior("hf:google/other")

    def test_a_network_that_is_gone_is_as_good_as_offline(self, server, monkeypatch):
        jr.load_prior(f"hf:{NAME}")
        with running(HubServer()) as stopped:
            monkeypatch.setattr(constants, "ENDPOINT", stopped.address)
        assert seed_of(jr.load_prior(f"hf:{NAME}")) == 0
        with pytest.raises(PriorError, match="google/other at main could not be fetched from the hub"):
            jr.load_prior("hf:google/other")

    @pytest.mark.parametrize("name", ["hf:", "hf:tiny", "hf:../up", "hf:a/../b", "hf:a/b@", "hf:a/b@c d"])
    def test_names_that_are_none_are_refused(self, name):
        with pytest.raises(PriorError, match="names no repository, expected hf:OWNER/NAME"):
            jr.load_prior(name)

    def test_a_conversion_that_fails_leaves_nothing(self, server, tmp_path):
        broken = {**pipeline(), WEIGHTS: save({"conv_in.weight": np.zeros((8, 3, 3, 3), np.float32)})}
        server.repositories[NAME] = (FIRST, broken)
        with pytest.raises(PriorError, match="does not fit the configuration"):
            jr.load_prior(f"hf:{NAME}")
        store = tmp_path / "ours" / "priors" / "hf" / "google--ddpm-tiny"
        assert [path.name for path in store.iterdir()] == [f".{FIRST}.lock"]


def test_addresses_are_told_from_paths():
    assert hub.parse("google/ddpm-cifar10-32") == ("google/ddpm-cifar10-32", "main")
    assert hub.parse("google/ddpm@refs/pr/1") == ("google/ddpm", "refs/pr/1")
    for path in ("runs", "./a/b", "/a/b", "a/b/c", "a/.b", "~/b", ""):
        assert hub.parse(path) is None


@pytest.mark.slow
def test_the_hubs_own_variables_count(server, tmp_path):
    script = f"import jaxrestore as jr; print(jr.load_prior('hf:{NAME}').config.model_channels)"
    environment = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "home")}
    for offline in ("0", "1"):
        environment["HF_HUB_OFFLINE"] = offline
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == "8", done.stderr
    assert (tmp_path / "home" / "hub" / "models--google--ddpm-tiny").is_dir()
