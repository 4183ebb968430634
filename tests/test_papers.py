"""Papers' experiments from end to end, with a small network in place of theirs."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import conftest
import numpy as np
import pytest

import jaxrestore as jr
from benchmarks import _experiments, _results, papers
from jaxrestore import images, published
from jaxrestore.priors import NetworkPrior
from jaxrestore.priors.network import abstract_params

SIDE = 32


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prior of the form of the papers' networks, and pictures of several sizes."""
    folder = tmp_path_factory.mktemp("papers")
    jr.save_prior(folder / "prior", conftest.network(out_channels=6, channel_mult=(1,)))
    noise = np.random.default_rng(0).uniform(-1, 1, (3, 9, 9, 3)).astype(np.float32)
    for i, picture in enumerate(noise):
        images.save(folder / "pictures" / f"{i}.png", images.resize(picture, (40 + 8 * i, 48)))
    images.save(folder / "mask.png", np.where(np.arange(SIDE)[:, None, None] < 9, -1.0, np.ones((SIDE, SIDE, 3))))
    return folder


@pytest.fixture
def run(data, tmp_path, monkeypatch):
    """Runs the command over the pictures; gives the cells of its result file."""
    monkeypatch.setattr(_results, "RESULTS", tmp_path)

    def start(words: str, count: int = 2) -> dict:
        where = f"--prior {data / 'prior'} --data {data / 'pictures'} --out {tmp_path / 'out'} --count {count}"
        papers.main([*words.split(), *where.split(), "--size", str(SIDE), "--batch-size", "2"])
        return _results.read("papers")["cells"]

    return start


SHORT = "--set num_steps=2 --no-lpips"
DPPS = f"dpps --task inpainting_random {SHORT}"


class TestDPPS:
    """A mask of its own for each picture, of a share that is drawn too."""

    @pytest.mark.slow
    def test_pictures_scores_sheet_and_table_are_written_and_what_is_done_stays(
        self, run, tmp_path, capsys, monkeypatch
    ):
        cell = run(DPPS)["dpps/ffhq/inpainting_random"]
        assert set(cell["mean"]) == {"psnr"}
        assert list(cell["pictures"]) == ["0.png", "1.png"]
        assert cell["settings"] == {"num_steps": 2, "scale": 1.0, "n_max": 50, "aligned": True}
        assert cell["evaluations"] == {"forward": 2, "gradients": 2}
        assert cell["published"]["values"]["settings.num_steps"]["value"] == 1000
        out = tmp_path / "out" / "dpps" / "ffhq" / "inpainting_random"
        assert images.load(out / "sheet.png").shape == (2 * SIDE, 3 * SIDE, 3)
        table = next(tmp_path.glob("papers-*.md")).read_text()
        assert f"| dpps/ffhq/inpainting_random | 2 | 0.01 | {cell['mean']['psnr']:.2f} |" in table
        assert "num_steps=2, 32 pixels |" in table

        made = {file.name: file.stat().st_mtime_ns for file in (out / "restored").iterdir()}
        again = run(DPPS, count=3)["dpps/ffhq/inpainting_random"]  # one more picture: only that one is restored
        kept = {name: (out / "restored" / name).stat().st_mtime_ns for name in made}
        assert kept == made
        assert list(again["pictures"]) == ["0.png", "1.png", "2.png"]
        monkeypatch.setattr(_experiments.Series, "restore", lambda *args, **kwargs: pytest.fail("nothing is due"))
        assert run(DPPS, count=3)["dpps/ffhq/inpainting_random"] == again

    @pytest.mark.slow
    def test_a_picture_is_what_it_is_alone(self, data, tmp_path):
        setup = published.find("dpps", "ffhq", "inpainting_random")[0]
        changes = {"num_steps": 2}
        experiment = _experiments.Experiment(setup, side=SIDE, changes=changes)
        paths, prior = images.find(data / "pictures"), jr.load_prior(data / "prior")
        series = [_experiments.Series(experiment, paths, {}, tmp_path / name) for name in ("all", "one")]
        for s in series:
            (s.folder / "records").mkdir(parents=True)
        series[0].restore(prior, batch_size=2)
        for name in ("restored", "measured", "records"):
            shutil.copytree(series[0].folder / name, series[1].folder / name, dirs_exist_ok=True)
        (series[1].folder / "records" / "1.json").unlink()
        (series[1].folder / "restored" / "1.png").unlink()
        series[1].restore(prior, batch_size=2)
        records = [s.record(paths[1])["scores"]["psnr"] for s in series]
        assert records[0] == pytest.approx(records[1], abs=1e-3)


@pytest.mark.parametrize(("method", "drawn", "low", "high"), [("dpps", 3, 0.7, 0.9), ("daps", 1, 0.7, 0.71)])
def test_masks_are_drawn_as_published(data, method, drawn, low, high):
    """DPPS draws one for each picture, DAPS one for all."""
    (setup,) = published.find(method, "ffhq", "inpainting_random")
    experiment = _experiments.Experiment(setup, side=128)
    masks = [experiment.task(i, data).degradation.operator.mask for i in range(3)]
    assert all(low - 1e-4 <= 1.0 - float(mask.mean()) <= high + 1e-4 for mask in masks)
    assert len({np.asarray(mask).tobytes() for mask in masks}) == drawn


@pytest.mark.slow
def test_whoever_finishes_last_writes_the_cell(run, capsys, monkeypatch):
    """Two processes, one after the other: each restores its share of the pictures."""
    words = f"dps --dataset imagenet --task super_resolution {SHORT}"
    monkeypatch.setattr(_experiments.parallel, "share", lambda items: list(items[0::2]))
    with pytest.raises(KeyError):  # there are no cells
        run(words)
    assert "dps/imagenet/super_resolution: 1 pictures are still with other processes" in capsys.readouterr().out
    monkeypatch.setattr(_experiments.parallel, "share", lambda items: list(items[1::2]))
    cell = run(words)["dps/imagenet/super_resolution"]
    assert list(cell["pictures"]) == ["0.png", "1.png"]
    assert cell["noise_std"] == 0.05


@pytest.mark.slow
def test_of_several_runs_each_score_counts_at_its_best(run, monkeypatch):
    """The scores of a picture's four runs in turn; the best of each are those of different runs."""
    made = [{"psnr": a, "lpips-piq": b} for a, b in ((20.0, 0.3), (23.0, 0.4), (21.0, 0.1), (22.0, 0.2))]
    turns = iter(made)
    monkeypatch.setattr(_experiments, "score", lambda *args: next(turns))
    gentle = {"num_steps": 2, "ode_steps": 1, "langevin_steps": 1, "sigma_max": 1.0, "learning_rate": 1e-9}
    words = " ".join(["daps --task phase_retrieval --no-lpips", *(f"--set {name}={v}" for name, v in gentle.items())])
    cell = run(words, count=1)["daps/ffhq/phase_retrieval"]
    assert cell["evaluations"]["forward"] == 4 * 2
    assert cell["pictures"] == {"0.png": {"psnr": 23.0, "lpips-piq": 0.1}}


@pytest.mark.slow
def test_two_processes_share_the_pictures(run, data, tmp_path):
    """Each gets a part, the last writes the cell, and the pictures are those of one process."""
    (tmp_path / "two").mkdir()
    script = (
        "import pathlib, sys\n"
        "from benchmarks import _results, papers\n"
        "_results.RESULTS = pathlib.Path(sys.argv.pop(1))\n"
        "papers.main()\n"
    )
    words = f"dps --dataset imagenet --task super_resolution {SHORT} --count 3 --size {SIDE} --batch-size 2"
    where = ["--prior", str(data / "prior"), "--data", str(data / "pictures")]
    command = [sys.executable, "-c", script, str(tmp_path / "two"), *words.split(), *where]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = [
        subprocess.Popen(
            [*command, "--distributed", f"{i}/2@127.0.0.1:{port}"],
            cwd=pathlib.Path(__file__).parent.parent,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        for i in range(2)
    ]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    together = json.loads(next((tmp_path / "two").glob("papers-*.json")).read_text())["cells"]
    alone = run(f"dps --dataset imagenet --task super_resolution {SHORT}", count=3)
    assert set(together) == set(alone) == {"dps/imagenet/super_resolution"}
    for label, cell in alone.items():
        assert len(cell["pictures"]) == 3
        for name, scores in cell["pictures"].items():
            assert together[label]["pictures"][name]["psnr"] == pytest.approx(scores["psnr"], abs=0.01)


@pytest.mark.slow
def test_a_mask_is_given_and_lpips_is_the_papers(run, data):
    words = f"reddiff --task inpainting_box --name noisy --set num_steps=2 --mask {data / 'mask.png'}"
    cell = run(words, count=1)["reddiff/imagenet/inpainting_box/noisy"]
    assert set(cell["mean"]) == {"psnr", "ssim", "lpips-alex"}


def test_masks_that_are_missing_and_weights_of_another_network_are_told_first(run, data, tmp_path):
    (tmp_path / "masks").mkdir()
    with pytest.raises(SystemExit, match=r"lacks masks for 0\.png, 1\.png; name them so"):
        run(f"repaint --task inpainting_box --mask {tmp_path / 'masks'}")
    weights = jr.metrics.save_lpips(tmp_path / "alex", "alex", jr.metrics.load_lpips())
    with pytest.raises(ValueError, match="params are not the weights of variant 'piq'"):
        run(f"spgd --task super_resolution --lpips-weights {weights}")


@pytest.mark.slow
def test_a_run_that_diverges_is_counted_and_has_no_picture(run, tmp_path):
    cell = run(f"spgd --task super_resolution {SHORT} --set learning_rate=1e30", count=1)["spgd/ffhq/super_resolution"]
    assert (cell["mean"], cell["diverged"]) == (None, ["0.png"])
    assert not (tmp_path / "out/spgd/ffhq/super_resolution/restored/0.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("spgd --task colorization", "nothing of the kind is published; there are spgd/ffhq/super_resolution, "),
        ("spgd --task super_resolution", "LPIPS with VGG, .*convert_weights lpips` and give --lpips-weights DIR; or"),
        (f"repaint {SHORT} --task inpainting_box", r"repaint/celeba_hq/inpainting_box needs --mask \(LaMa's"),
        ("ddrm --set num_steps", "--set is 'num_steps', expected NAME=VALUE"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_restored(run, words, message):
    with pytest.raises(SystemExit, match=message):
        run(words)


def test_rows_that_need_files_are_passed_over_where_all_are_asked_for(run, capsys):
    papers_of = published.find("repaint", "celeba_hq")
    assert [papers.possible(setup, papers.arguments_of(["repaint", "--list"])) for setup in papers_of] == [False]
    assert "is passed over: it needs --mask (LaMa's" in capsys.readouterr().out


def test_the_rows_are_printed_with_their_sources_and_what_is_absent(capsys):
    papers.main(["dpps", "--list", "--task", "super_resolution"])
    printed = capsys.readouterr().out
    assert "settings.scale = 1.0  https://github.com/74587887/DPPS_code/blob/5abdfe6" in printed
    assert "not stated: phase retrieval, nonlinear deblurring: their files name DPS's step" in printed


def test_the_estimate_counts_passes_and_gradients(capsys, monkeypatch):
    config = conftest.SMALL
    monkeypatch.setattr(papers.networks, "published_config", lambda preset: config)
    papers.main(["daps", "--estimate", "--task", "phase_retrieval", "--rate", "2", "--size", str(SIDE)])
    row = capsys.readouterr().out.splitlines()[-1].split(" | ")
    flops = papers.networks.forward_flops(NetworkPrior(abstract_params(config), config=config), SIDE)
    assert row[:3] == ["| daps/ffhq/phase_retrieval", "4000", "0"]  # four runs of 200 levels with 5 evaluations each
    assert float(row[5].strip(" |")) == pytest.approx(4000 * flops * 100 / 2e12 / 3600, rel=0.05)
