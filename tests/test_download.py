"""Downloads are whole, as published, and go on where they were cut; what hinders them is said in a sentence."""

import base64
import errno
import hashlib
import os
import shutil
import threading

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DATA
from loopback import FileHandler, Server, running

import jaxrestore as jr
from convert_weights import cli, download, published
from convert_weights.arrays import ConversionError
from jaxrestore.storage import cache, files

BODY = np.random.default_rng(0).bytes(200_000)
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    with running(Server(FileHandler)) as server:
        server.files["/weights.pt"] = BODY
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "weights.pt"


def fetch(server, target, **options):
    return download.download(f"{server.address}/weights.pt", target, **options)


def parts(target):
    return sorted(path.name for path in target.parent.glob(".*.part"))


def test_a_file_is_fetched_once(server, target):
    for _ in range(2):
        assert fetch(server, target, size=len(BODY), digest=SHA256) == target
    assert target.read_bytes() == BODY
    assert server.gets() == [("/weights.pt", None)]
    assert parts(target) == []


def test_a_cut_connection_is_gone_on_with_where_it_was_cut(server, target):
    server.cuts = [70_000, 0, 50_000]
    fetch(server, target, digest=SHA256)
    assert target.read_bytes() == BODY
    spans = [None, "bytes=70000-", "bytes=70000-", "bytes=120000-"]
    assert server.gets() == [("/weights.pt", span) for span in spans]


def test_what_arrived_before_a_stop_is_kept_for_the_next_run(server, target):
    server.cuts = [70_000, *[0] * download._TRIES]
    with pytest.raises(ConversionError, match="stopped after 70000 of 200000 bytes .*it goes on from there"):
        fetch(server, target)
    assert not target.exists()
    assert len(parts(target)) == 1
    server.asked.clear()
    fetch(server, target, digest=SHA256)
    assert server.gets() == [("/weights.pt", "bytes=70000-")]
    assert target.read_bytes() == BODY
    assert parts(target) == []


def test_a_server_without_ranges_sends_all_again(server, target):
    server.cuts, server.knows_ranges = [70_000], False
    fetch(server, target, digest=SHA256)
    assert target.read_bytes() == BODY


def test_what_arrived_of_another_version_is_not_gone_on_with(server, target):
    server.cuts = [70_000, *[0] * download._TRIES]
    with pytest.raises(ConversionError, match="stopped"):
        fetch(server, target)
    server.files["/weights.pt"] = BODY[::-1]
    server.asked.clear()
    fetch(server, target)
    assert server.gets() == [("/weights.pt", None)]
    assert target.read_bytes() == BODY[::-1]
    assert parts(target) == []


def test_a_file_that_changes_while_it_is_fetched_is_refused(server, target, monkeypatch):
    described = download._describe

    def changed_after(address):
        remote = described(address)
        server.files["/weights.pt"] = BODY[::-1]
        return remote

    monkeypatch.setattr(download, "_describe", changed_after)
    with pytest.raises(ConversionError, match="the file changed while it was fetched"):
        fetch(server, target)
    assert not target.exists()
    assert parts(target) == []


@pytest.mark.parametrize(
    ("headers", "digest"),
    [
        ({}, f"sha256:{'0' * 64}"),
        ({"Content-MD5": base64.b64encode(bytes(16)).decode()}, None),
    ],
)
def test_bytes_with_another_digest_are_thrown_away(server, target, headers, digest):
    server.headers["/weights.pt"] = headers
    with pytest.raises(ConversionError, match=r"arrived with (sha256|md5) \w+, expected 0+: it was damaged"):
        fetch(server, target, digest=digest)
    assert not target.exists()
    assert parts(target) == []


def test_the_servers_own_digest_counts_where_none_is_published(server, target):
    server.headers["/weights.pt"] = {"Content-MD5": base64.b64encode(hashlib.md5(BODY).digest()).decode()}
    assert fetch(server, target).read_bytes() == BODY


def test_a_size_that_was_not_published_is_refused_before_anything_is_fetched(server, target):
    with pytest.raises(ConversionError, match="has 200000 bytes, expected 200001: it is not what was published"):
        fetch(server, target, size=200_001)
    assert server.gets() == []
    target.write_bytes(b"short")
    with pytest.raises(ConversionError, match="weights.pt has 5 bytes, expected 200000; remove it"):
        fetch(server, target, size=200_000)


def test_a_server_that_sends_more_than_it_promised_is_refused(server, target, monkeypatch):
    described = download._describe
    monkeypatch.setattr(download, "_describe", lambda address: described(address)._replace(size=199_000))
    with pytest.raises(ConversionError, match="sent 200000 bytes, expected 199000"):
        fetch(server, target)
    assert parts(target) == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "answers 403: access is refused"),
        (404, "answers 404: there is no such file any more"),
        (410, "answers 410: Gone"),
        (503, "answers 503: try again later"),
    ],
)
def test_refusals_are_said(server, target, status, message):
    server.statuses["/weights.pt"] = status
    with pytest.raises(ConversionError, match=message):
        fetch(server, target)


def test_no_network_is_said_with_the_way_around(target):
    with running(Server(FileHandler)) as stopped:
        pass
    with pytest.raises(ConversionError, match="127.0.0.1:[0-9]+ cannot be reached .*refused.*give the file's path"):
        fetch(stopped, target)


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(server, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0))
    with pytest.raises(ConversionError, match="has 0 MB left"):
        fetch(server, target)
    assert server.gets() == []


def test_a_disk_that_fills_up_is_no_cut_connection(server, target, monkeypatch):
    def full(part, remote, advance):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "_receive_more", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(server, target)


def test_encryption_is_not_given_up_on_the_way(monkeypatch):
    class Response:
        url = "http://example.org/weights.pt"

        def close(self):
            pass

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda request, timeout: Response())
    with pytest.raises(ConversionError, match="leads to http://example.org/weights.pt, which is not encrypted"):
        download._open("https://example.org/weights.pt", "GET")


def test_two_that_want_the_same_file_fetch_it_once(server, target):
    threads = [threading.Thread(target=fetch, args=(server, target)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.gets()) == 1
    assert target.read_bytes() == BODY


@pytest.fixture
def openai(server, monkeypatch, tmp_path):
    """The server with a small network in the place of ImageNet's."""
    torch = pytest.importorskip("torch")
    with np.load(DATA / "adm_tiny.npz") as stored:
        torch.save({name: torch.from_numpy(value) for name, value in stored.items()}, tmp_path / "tiny.pt")
    body = (tmp_path / "tiny.pt").read_bytes()
    server.files["/tiny.pt"] = body
    row = published.PublishedFile("tiny.pt", "tiny", len(body), f"sha256:{hashlib.sha256(body).hexdigest()}")
    monkeypatch.setattr(published, "ADDRESS", f"{server.address}/")
    monkeypatch.setitem(published.FILES, "imagenet256", row)
    known = cli.guided_diffusion.PRESETS["imagenet256"]
    preset = known._replace(determined={}, heads={"num_head_channels": 16}, image_size=32)
    monkeypatch.setitem(cli.guided_diffusion.PRESETS, "tiny", preset)
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return server


def test_a_published_checkpoint_is_converted_by_its_name(openai, tmp_path, adm_tiny):
    result = CliRunner().invoke(cli.command, ["guided-diffusion", "imagenet256", "--out", str(tmp_path / "prior")])
    assert result.exception is None, result.exception
    assert result.output.startswith(f"licence: {published.LICENCE}\nfetched into {tmp_path}/cache/downloads/tiny.pt")
    prior = jr.load_prior(tmp_path / "prior")
    np.testing.assert_array_equal(prior.params["time_in.kernel"], adm_tiny.params["time_in.kernel"])
    wrong = ["guided-diffusion", "imagenet256", "--preset", "ffhq256", "--out", str(tmp_path / "other")]
    result = CliRunner().invoke(cli.command, wrong)
    assert "--preset is ffhq256, but imagenet256 is of the preset tiny" in result.output


def test_a_published_checkpoint_is_loaded_by_its_name(openai, capsys):
    for _ in range(2):
        assert jr.load_prior("guided-diffusion:imagenet256").config.num_head_channels == 16
    assert len(openai.gets()) == 1
    assert capsys.readouterr().err.count("licence: MIT") == 1


def test_names_that_are_none_are_refused_with_those_there_are(tmp_path):
    with pytest.raises(jr.priors.PriorError, match="'imagenet1' is none of the published checkpoints: imagenet64, "):
        jr.load_prior("guided-diffusion:imagenet1")
    with pytest.raises(jr.priors.PriorError, match="ffhq256 is on Google Drive.* gdown .*--preset ffhq256"):
        jr.load_prior("guided-diffusion:ffhq256")


def test_published_rows_fit_their_presets():
    for row in published.FILES.values():
        assert row.preset in cli.guided_diffusion.PRESETS
        assert row.file.endswith(".pt")
        if row.digest:
            algorithm, _, digits = row.digest.partition(":")
            assert len(bytes.fromhex(digits)) == hashlib.new(algorithm).digest_size
    assert published.ADDRESS.startswith("https://")


class TestCacheFolder:
    def test_the_variable_comes_first_then_xdg_then_home(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv(cache.VARIABLE, raising=False)
        assert cache.cache_folder("x") == tmp_path / "home" / ".cache" / "jaxrestore" / "x"
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert cache.cache_folder("x") == tmp_path / "home" / ".cache" / "jaxrestore" / "x"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache.cache_folder("x") == tmp_path / "xdg" / "jaxrestore" / "x"
        monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "own"))
        assert cache.cache_folder("x") == tmp_path / "own" / "x"
        assert (tmp_path / "own" / "x").is_dir()

    def test_without_a_home_that_can_be_written_it_is_among_the_temporary_files(self, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")  # nobody, root included, makes a folder in it
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        monkeypatch.delenv(cache.VARIABLE, raising=False)
        monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
        folder = cache.cache_folder("x")
        assert folder.parent.parent == tmp_path / "tmp"
        assert folder.parent.stat().st_mode & 0o077 == 0
        monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))
        with pytest.raises(OSError, match="JAXRESTORE_CACHE is .*cannot be written; set it to a folder of yours"):
            cache.cache_folder("x")

    def test_a_folder_of_somebody_else_is_not_trusted(self, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        monkeypatch.delenv(cache.VARIABLE, raising=False)
        monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
        user = os.getuid()
        monkeypatch.setattr(cache.os, "getuid", lambda: user + 1)
        (tmp_path / f"jaxrestore-{cache.getpass.getuser()}").mkdir()
        with pytest.raises(OSError, match="belongs to somebody else; set JAXRESTORE_CACHE"):
            cache.cache_folder("x")


def _hold(path, entered, leave):
    with files.locked(path):
        entered.set()
        leave.wait(10)


def test_a_lock_keeps_others_waiting(tmp_path):
    order = []
    entered, leave = threading.Event(), threading.Event()
    holder = threading.Thread(target=_hold, args=(tmp_path / "lock", entered, leave))
    holder.start()
    assert entered.wait(10)

    def second():
        with files.locked(tmp_path / "lock"):
            order.append("second")

    waiter = threading.Thread(target=second)
    waiter.start()
    waiter.join(0.2)
    assert order == []
    leave.set()
    waiter.join(10)
    holder.join(10)
    assert order == ["second"]
