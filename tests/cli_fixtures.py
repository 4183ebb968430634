"""Fixtures of the tests of the command line, which ask for them by `pytest_plugins`."""

import pathlib

import pytest
from conftest import smallest_network

import jaxrestore as jr
from jaxrestore import cli


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command in a folder of its own; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr("sys.argv", ["jaxrestore", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture(scope="session")
def prior(tmp_path_factory) -> pathlib.Path:
    """The folder of the smallest network."""
    return jr.save_prior(tmp_path_factory.mktemp("priors") / "tiny", smallest_network())
