"""The folder of a training run: which network it trains, its checkpoints and its log."""

import dataclasses
import json
import os
import pathlib
import uuid
import warnings
from typing import Any, TypeVar

from jaxrestore.priors.config import UNetConfig
from jaxrestore.storage.files import write_whole

State = TypeVar("State")

_FILE = "network.json"


def stored_config(network: UNetConfig) -> UNetConfig:
    """The network as checkpoint and prior state it: how fast it was computed is not part of it."""
    return dataclasses.replace(network, dtype="float32", remat=False)


def differences(network: UNetConfig, expected: UNetConfig) -> str:
    """What two networks do not have in common, or nothing."""
    a, b = (dataclasses.asdict(stored_config(config)) for config in (network, expected))
    return ", ".join(f"{name} is {a[name]}, expected {b[name]}" for name in a if a[name] != b[name])


def identity(network: UNetConfig, parametrization: str) -> tuple[UNetConfig, str]:
    """What may not change within a run."""
    return stored_config(network), parametrization


def claim(run: pathlib.Path, network: UNetConfig, parametrization: str) -> None:
    """Create a run's folder, or check that it belongs to the same network.

    Raises:
      ValueError: If it belongs to another, or does not tell.
    """
    stored, asked = _read(run), identity(network, parametrization)
    if stored:
        try:
            # Through the class: a run of an earlier release lacks options that came later, and has nulls for defaults.
            fields = {name: value for name, value in stored["network"].items() if value is not None}
            earlier = identity(UNetConfig(**fields), stored["parametrization"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(_damaged(run, f"{type(error).__name__}: {error}")) from error
        if earlier != asked:
            differing = differences(network, earlier[0])
            differing = differing or f"parametrization is {parametrization!r}, expected {earlier[1]!r}"
            raise ValueError(f"{run} holds a run of another network: {differing}; choose another folder")
    if "id" not in stored:  # a new run, or one of an earlier release
        described = {"id": uuid.uuid4().hex, "network": dataclasses.asdict(asked[0]), "parametrization": asked[1]}
        write_whole(run / _FILE, (json.dumps(described, indent=2) + "\n").encode())


def run_id(run: str | os.PathLike[str]) -> str | None:
    """What tells a run from all others, wherever its folder is moved; None where there is no run.

    Raises:
      ValueError: If the folder's description is damaged.
    """
    return _read(pathlib.Path(run)).get("id")


def _read(run: pathlib.Path) -> dict[str, Any]:
    """The description of a run, empty where there is none."""
    try:
        stored = json.loads((run / _FILE).read_text())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ValueError(_damaged(run, str(error))) from error
    if not isinstance(stored, dict):
        raise ValueError(_damaged(run, f"a {type(stored).__name__}, expected an object"))
    return stored


def _damaged(run: pathlib.Path, why: str) -> str:
    return (
        f"{run / _FILE} is damaged ({why}); remove the file if the checkpoints beside it are of the network that is "
        "asked for, and the run goes on; else choose another folder"
    )


def newest_state(manager: Any, state: State) -> State:
    """The newest checkpoint that can be read, or `state` where there is none; those that cannot are removed.

    Args:
      manager: Orbax's, of the run.
      state: What a checkpoint holds, with its shapes.

    Raises:
      ValueError: If there are checkpoints and none can be read.
    """
    import orbax.checkpoint as ocp

    problems = []
    for step in sorted(manager.all_steps(), reverse=True):
        try:
            found = manager.restore(step, args=ocp.args.StandardRestore(state))
        except Exception as error:  # Orbax and TensorStore raise many kinds; all mean that the files cannot be read
            problems.append((step, (str(error) or type(error).__name__).splitlines()[0]))
            continue
        for damaged, reason in problems:
            warnings.warn(
                f"the checkpoint of step {damaged} is damaged ({reason}); going on from step {step}", stacklevel=3
            )
            manager.delete(damaged)
        return found
    if problems:
        reasons = "; ".join(f"step {step}: {reason}" for step, reason in problems)
        raise ValueError(
            f"none of the checkpoints in {manager.directory} can be read ({reasons}); remove the folder to begin anew"
        )
    return state


def save(manager: Any, step: int, state: Any) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
      OSError: If it cannot be written.
    """
    import orbax.checkpoint as ocp

    try:
        manager.save(step, args=ocp.args.StandardSave(state))
    except Exception as error:  # of the disk, in the words of three libraries
        raise OSError(
            f"the checkpoint of step {step} cannot be written into {manager.directory} ({str(error).splitlines()[0]}); "
            "the one before stays: free some room, and the same command goes on from there"
        ) from error


class Log:
    """Lines of JSON at the end of a file; a last line that a kill has cut stays alone."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
            self._append("\n")

    def write(self, values: dict[str, Any]) -> None:
        """Append a line.

        Raises:
          OSError: If it cannot be written; the text names the file.
        """
        self._append(json.dumps(values) + "\n")

    def _append(self, text: str) -> None:
        try:
            with open(self._path, "a") as file:
                file.write(text)
        except OSError as error:
            raise OSError(f"{self._path} cannot be written ({error.strerror}); free some room") from error
