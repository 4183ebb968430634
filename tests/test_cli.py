"""Every command once, with its smallest work, and what is said when something is wrong."""

import io
import json

import click
import jax
import numpy as np
import pytest
from cli_words import PHOTO, fast
from conftest import DATA, smallest_network

import jaxrestore as jr
from jaxrestore import _checks, console, images, training
from jaxrestore.cli import _COMMANDS, demo, info

pytest_plugins = ["cli_fixtures"]


@pytest.mark.parametrize("methods", [("ddnm", "ddrm"), pytest.param(demo.METHOD_NAMES, marks=pytest.mark.slow)])
def test_the_demonstration_compares_methods_on_a_sheet_that_grows(run, tmp_path, monkeypatch, methods):
    monkeypatch.setattr(demo, "METHOD_NAMES", methods)  # by default such as compile quickly: they take no gradients
    monkeypatch.setattr(demo, "TASK_NAMES", demo.TASK_NAMES[:1])  # the smallest work
    monkeypatch.setattr(demo, "load_prior", {"photo": smallest_network()}.__getitem__)
    sheets, save = [], images.save

    def noted(path, sheet, **options):
        sheets.append(sheet)
        save(path, sheet, **options)

    monkeypatch.setattr(images, "save", noted)
    words = ["demo", "--size", 64, "--steps", 4, "--quiet"]
    code, out, error = run(*words)
    assert code == 0, error
    assert [
        name
        for line in out.splitlines()
        if line.startswith("demo.png: ")
        for name in demo.METHOD_NAMES
        if f" {name}," in line
    ] == list(demo.METHOD_NAMES)
    column = slice(2 * 66 + 2, 3 * 66)  # of the second method
    assert [sheet[20:70, column].std() > 0 for sheet in sheets] == [False, True]
    for word in ("simple answer", *demo.TASK_NAMES, *demo.METHOD_NAMES):
        assert word in out
    assert images.load(tmp_path / "demo.png").shape[1] > 4 * 64
    assert "demo.png exists" in run(*words)[2]
    assert "expected a multiple of 4" in run(*words, "--size", 66, "-o", "other.png")[2]

    def full(*_, **__):
        raise OSError("other.png needs 9 bytes")

    monkeypatch.setattr(images, "save", full)
    code, out, error = run(*words, "-o", "other.png")
    assert code == 1
    assert all(f"{name} " in out for name in ("simple answer", *demo.METHOD_NAMES))  # the scores
    assert error.endswith("error: other.png needs 9 bytes\n")


TRAIN = ["train", "--data", "photos", "--run", "run", "--out", "prior", "--set", "num_steps=2", "--set", "crop_size=8", "--set", "batch_size=2", "--set", "scales=1.0,", "--network", "model_channels=32", "--network", "channel_mult=1,"]  # fmt: skip


@pytest.mark.slow
def test_train_writes_a_prior_that_restores(run, tmp_path):
    images.save(tmp_path / "photos" / "a.png", PHOTO)
    code, _, err = run(*TRAIN, "--validation", "photos")
    assert code == 0, err
    header = json.loads((tmp_path / "prior" / "prior.json").read_text())
    assert set(header["info"]["validation_rmse"]) >= {"0.1", "1"}
    assert run(*TRAIN, "--validation", "photos")[0] == 0  # the same run may replace its prior
    images.save(tmp_path / "in.png", PHOTO)
    assert run("restore", "in.png", "-o", "out.png", "--task", "denoising", *fast("prior"))[0] == 0


def test_a_run_that_starts_from_a_prior_has_its_network(run, tmp_path, monkeypatch, prior):
    begun = {}

    def train(data, run, config, *, start, **_):
        begun.update(config=config, start=start)
        raise ValueError("begun")

    monkeypatch.setattr(training, "train", train)
    for name in (prior, "photo"):
        words = ["train", "--data", "photos", "--run", "run", "--out", "prior", "--start", name]
        assert run(*words)[2] == "error: begun\n"
        assert begun["config"].network == begun["start"].config
        assert begun["config"].parametrization == begun["start"].parametrization


@pytest.mark.slow
def test_train_writes_a_prior_and_refuses_what_is_no_setting(run, tmp_path, monkeypatch):
    """Without the update, which takes most of the time to compile."""

    def standing(config):
        return lambda state, crops, rate: (state._replace(step=state.step + 1), np.float32(1.0))

    monkeypatch.setattr(training, "make_train_step", standing)
    images.save(tmp_path / "photos" / "a.png", PHOTO)
    words = list(TRAIN)
    code, out, err = run(*words)
    assert code == 0, err
    assert "M parameters" in out
    header = json.loads((tmp_path / "prior" / "prior.json").read_text())
    assert header["info"]["training"]["batch_size"] == 2
    words[4] = "other_run"
    assert "prior exists" in run(*words)[2]
    words[4] = "run"
    assert "speed is no setting; there are network, " in run(*words, "--force", "--set", "speed=2")[2]
    assert "batch_size is '2.5', expected a whole number" in run(*words, "--force", "--set", "batch_size=2.5")[2]


def test_info_names_devices_versions_priors_tasks_and_methods(run):
    code, out, _ = run("info")
    assert code == 0
    for word in ("jaxlib", "cpu", "photo", *jr.TASKS, *jr.METHODS):
        assert word in out
    report = json.loads(run("info", "--json")[1])
    assert report["tasks"]["super_resolution"]["settings"]["photo"]["dps"]["num_steps"] == 100
    setups = {setup["label"]: setup["values"] for setup in report["published"]}
    rate = setups["spgd/ffhq/super_resolution"]["settings.learning_rate"]
    assert rate["value"] == 7.0
    assert rate["source"].endswith("config/task/down_sampling.yaml")
    assert "photo" in report["priors"]


@pytest.mark.slow
def test_a_converted_checkpoint_restores_a_picture(run):
    torch = pytest.importorskip("torch")
    with np.load(DATA / "adm_tiny.npz") as state:
        torch.save({name: torch.from_numpy(value) for name, value in state.items()}, "adm.pt")
    code, _, errors = run("convert", "guided-diffusion", "adm.pt", "--num-head-channels", 16, "--out", "converted")
    assert (code, errors) == (0, "")
    images.save("blurred.png", PHOTO)
    words = ["restore", "blurred.png", "-o", "sharp.png", "--task", "gaussian_deblur", "--option", "kernel_size=9"]
    code, _, errors = run(*words, *fast("converted"))
    assert code == 0, errors
    assert images.load("sharp.png").shape == PHOTO.shape
    code, _, errors = run("convert", "guided-diffusion", "adm.pt", "--out", "other")
    assert code == 1
    assert errors.startswith("error: the network has attention")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("command", _COMMANDS)
def test_help(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage: " in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["restore", "none.png", "-o", "o.png", "--task", "denoising"], "none.png does not exist"),
        (["restore", "text.png", "-o", "o.png", "--task", "denoising"], "text.png cannot be read as a picture"),
        (["restore", "in.png", "-o", "o.gif", "--task", "denoising"], "suffix '.gif'"),
        (["degrade", "in.png", "-o", "o.gif", "--task", "denoising"], "suffix '.gif'"),
        (["degrade", "in.png", "-o", "o.png", "--task", "phase_retrieval"], "suffix '.png', expected .npy"),
        (["restore", "in.png", "-o", "o.png", "--task", "sharpen"], "'sharpen' is not one of"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--prior", "none"], "bundled priors"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--option", "factor"], "no NAME=VALUE"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--option", "factor=2"], "has no option factor"),
        (["restore", "in.png", "-o", "o.png", "--task", "jpeg", "--option", "quality=low"], "expected a whole number"),
        (["restore", "in.png", "-o", "o.png", "--task", "inpainting_box", "--option", "mask=1"], "cannot be given"),
        (["restore", "in.png", "-o", "o.png", "--task", "super_resolution", "--kernel", "in.png"], "does not go with"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--mask", "in.png"], "does not go with"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--set", "magic=2"], "magic"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--set", "self_ensemble=2"], "no setting self_"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--set", "momentum=much"], "expected a number"),
        (["restore", "in.png", "-o", "o.png", "--task", "denoising", "--self-ensemble", "3"], "'3' is not one of"),
        (
            ["restore", "in.png", "-o", "o.png", "--task", "denoising", "--settings", "best"],
            "photo, recommended, published or a",
        ),
        (
            ["restore", "in.png", "-o", "o.png", "--task", "denoising", "--settings", "photo/best.json"],
            "settings photo/best.json cannot be read",
        ),
        (["restore", "in.png", "-o", "o.png", "--task", "high_dynamic_range", "--method", "ddnm"], "ddnm cannot do h"),
        (["restore", "in.png", "-o", "o.png", "--task", "phase_retrieval"], "is no .npy file"),
        (
            ["restore", "odd.npy", "-o", "o.png", "--task", "phase_retrieval"],
            "odd.npy: amplitudes of 10x10 fit no image",
        ),
        (["restore", "in.png", "-o", "in.png", "--task", "denoising"], "exists"),
        (["restore", "in.png", "-o", "o.png", "--task", "inpainting_box", "--mask", "dot.png"], "dot.png has 8x8 pix"),
        (["restore", "dot.png", "-o", "o.png", "--task", "jpeg", "--option", "subsampling=true"], "dot.png: the pict"),
        (["evaluate", "nowhere", "--task", "denoising"], "nowhere is no folder"),
        (["degrade", "in.png", "-o", "o.png", "--task", "super_resolution", "--option", "factor=100"], "in.png: the p"),
        (["demo", "--photo", "none.png"], "none.png does not exist"),
        (["train", "--data", ".", "--run", "r", "--out", "o", "--validation", "gone"], "gone is no folder"),
        (["train", "--data", ".", "--run", "r", "--out", "o", "--set", "crop_size=64"], "text.png cannot be read"),
        (["train", "--data", ".", "--run", "in.png", "--out", "o"], "in.png is a file, expected a folder"),
        (["evaluate", ".", "--task", "denoising", "--lpips-weights", "gone"], "gone holds no lpips (no lpips.json)"),
        (["train", "--data", ".", "--run", "o/r", "--out", "o"], "--run o/r lies in --out o"),
        (["train", "--data", ".", "--run", "../r", "--out", ".", "--force"], "folder of other things than weights"),
        (
            ["train", "--data", ".", "--run", "r", "--out", "o", "--set", "parametrization=ve"],
            "parametrization is 've'",
        ),
        (["fly"], "No such command"),
    ],
)
def test_bad_input_gives_one_clear_line_and_no_file(run, tmp_path, words, message):
    images.save(tmp_path / "in.png", PHOTO)
    images.save(tmp_path / "dot.png", PHOTO[:8, :8])
    np.save(tmp_path / "odd.npy", PHOTO[:10, :10])
    (tmp_path / "text.png").write_text("no picture")
    before = sorted(p.name for p in tmp_path.iterdir())
    code, _, err = run(*words)
    assert code in (1, 2)
    assert message in err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith(("error", "Error"))]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def failing(error):
    @click.command()
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("rate is 2"), 1, "error: rate is 2\n"),
        (FileExistsError("a.png exists"), 1, "error: a.png exists\n"),
        (FloatingPointError("a.png diverged"), 1, "error: a.png diverged\n"),
        (_checks.InputTypeError("size is 1.5"), 1, "error: size is 1.5\n"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB\nstack"), 1, "error: RESOURCE_EXHAUSTED: 9 GB\n"),
        (click.ClickException("no"), 1, "Error: no\n"),
        (KeyboardInterrupt(), 130, "\nstopped\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line(capsys, monkeypatch, error, code, message):
    monkeypatch.setattr("sys.argv", ["command"])
    with pytest.raises(SystemExit) as stop:
        console.run(failing(error))
    assert (stop.value.code, capsys.readouterr().err) == (code, message)


def test_names_that_the_terminal_cannot_show_do_not_end_a_command(monkeypatch):
    @click.command()
    def command():
        click.echo("caf\udce9.png")

    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    monkeypatch.setattr("sys.stdout", stdout)
    monkeypatch.setattr("sys.argv", ["command"])
    console.run(command)
    stdout.flush()
    assert stdout.buffer.getvalue() == b"caf\\udce9.png\n"


@pytest.mark.parametrize(
    "error", [TypeError("missing argument"), KeyError("x"), jax.errors.JaxRuntimeError("INTERNAL")]
)
def test_a_fault_of_the_library_keeps_its_traceback_and_asks_for_a_report(run, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(info, "print_table", fail)
    code, _, err = run("info")
    assert code == 70
    assert err.startswith("Traceback (most recent call last)")
    assert "in fail" in err
    assert f"jaxrestore {jr.__version__} (jax {jax.__version__}" in err
    assert "Please report it" in err
    assert "error:" not in err.lower().split("stopped for a fault")[1]
