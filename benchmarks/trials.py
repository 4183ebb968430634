"""Does anything get lost or damaged: kills, full disks, damaged checkpoints, corrupt caches, many calls?

    python -m benchmarks.trials [--count 20] [--only kills full_disks checkpoints caches calls] [--seed 0]

Each trial does what it fears to a small prior and small pictures of its own, and counts what came of it; whatever is
under "bad" should be 0. The counts are printed as JSON. Processes that are killed or limited are processes of its own.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _results, _run
from jaxrestore import images
from jaxrestore.priors import GaussianMixture, NetworkPrior, UNetConfig
from jaxrestore.priors.network import init_params

Counts = dict[str, Any]

_CONFIG = UNetConfig(model_channels=32, channel_mult=(1,), num_res_blocks=1, patch_size=2)
_FORMATS = (".png", ".jpg", ".webp", ".tif")

# Writes pictures and a prior over and over; says when it begins, so that it is killed while it writes.
_WRITER = """
import pathlib, sys, itertools, numpy as np, jaxrestore as jr
from jaxrestore import images
folder = pathlib.Path(sys.argv[1])
prior = jr.load_prior(folder / "prior")
rng = np.random.default_rng(int(sys.argv[2]))
picture = rng.uniform(-1, 1, (256, 256, 3)).astype(np.float32)
print("ready", flush=True)
for i in itertools.count():
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        images.save(folder / f"a{suffix}", picture, overwrite=True)
    jr.save_prior(folder / "prior", prior, info={"i": i}, overwrite=True)
"""

# Writes over whole files with a limit on their size, as on a disk that is full; prints what happened, as JSON.
_FULL = """
import json, pathlib, resource, signal, sys, numpy as np
from jaxrestore import images
folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(int(sys.argv[3]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
refused, written = 0, 0
for i in range(count):
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        size = (folder / f"a{suffix}").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(rng.integers(0, 1.2 * size)), resource.RLIM_INFINITY))
        try:
            images.save(folder / f"a{suffix}", rng.uniform(-1, 1, (64, 64, 3)).astype(np.float32), overwrite=True)
            written += 1
        except OSError:
            refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(json.dumps({"refused": refused, "written": written}))
"""

# Runs one compiled program with a compilation cache, and prints its result.
_CACHED = """
import sys, jax, jax.numpy as jnp
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
print(float(jax.jit(lambda x: jnp.tanh(x @ x).sum())(jnp.ones((32, 32)))))
"""


def _prior() -> NetworkPrior:
    return NetworkPrior(init_params(jax.random.key(0), _CONFIG), config=_CONFIG, parametrization="edm")


def _python(code: str, *arguments: Any) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def _write_all(folder: pathlib.Path) -> None:
    jr.save_prior(folder / "prior", _prior())
    for suffix in _FORMATS:
        images.save(folder / f"a{suffix}", np.zeros((64, 64, 3), np.float32))


def _is_whole(read: Callable[[], Any]) -> bool:
    try:
        read()
    except Exception:  # that is what is being counted
        return False
    return True


def _damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes cut short, or with one bit flipped."""
    if rng.uniform() < 0.3:
        return data[: int(rng.integers(0, len(data)))]
    flipped = bytearray(data)
    flipped[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def kills(count: int, rng: np.random.Generator, folder: pathlib.Path) -> Counts:
    """SIGKILL at a random moment while pictures and a prior are written over and over."""
    counts: Counter[str] = Counter()
    _write_all(folder)
    for i in range(count):
        process = subprocess.Popen(_python(_WRITER, folder, i), stdout=subprocess.PIPE)
        assert process.stdout is not None
        _ = process.stdout.readline()
        time.sleep(float(rng.uniform(0.0, 1.0)))
        process.send_signal(signal.SIGKILL)
        _ = process.wait()
        counts["kills"] += 1
        counts["leftovers, before the next write"] += len([p for p in folder.iterdir() if p.name.startswith(".")])
        for suffix in _FORMATS:
            counts["bad"] += not _is_whole(lambda suffix=suffix: images.load(folder / f"a{suffix}"))
        counts["bad"] += not _is_whole(lambda: jr.load_prior(folder / "prior"))
    return dict(counts)


def full_disks(count: int, rng: np.random.Generator, folder: pathlib.Path) -> Counts:
    """Pictures written over whole ones with less room than they need: the old ones stay."""
    _write_all(folder)
    process = subprocess.run(
        _python(_FULL, folder, count, int(rng.integers(2**31))), stdout=subprocess.PIPE, check=True, text=True
    )
    bad = sum(not _is_whole(lambda suffix=suffix: images.load(folder / f"a{suffix}")) for suffix in _FORMATS)
    left = len([p for p in folder.iterdir() if p.name.startswith(".")])
    return {**json.loads(process.stdout), "bad": bad + left}


def checkpoints(count: int, rng: np.random.Generator, folder: pathlib.Path) -> Counts:
    """A bit flipped in a file of a prior's folder, or a file cut short: refused, or what was saved."""
    counts: Counter[str] = Counter()
    whole = jr.save_prior(folder / "whole", _prior())
    truth = jr.load_prior(whole)
    files = [p.relative_to(whole) for p in sorted(whole.rglob("*")) if p.is_file() and p.stat().st_size]
    for _ in range(count):
        shutil.rmtree(folder / "damaged", ignore_errors=True)
        _ = shutil.copytree(whole, folder / "damaged")
        file = folder / "damaged" / files[int(rng.integers(len(files)))]
        _ = file.write_bytes(_damage(file.read_bytes(), rng))
        try:
            found = jr.load_prior(folder / "damaged")
        except jr.WeightsError:
            counts["refused"] += 1
            continue
        except Exception as error:  # an error that says nothing to a user
            counts["bad"] += 1
            counts[type(error).__name__] += 1
            continue
        same = found.config == truth.config and found.parametrization == truth.parametrization
        same = same and all(np.array_equal(found.params[name], a) for name, a in truth.params.items())
        counts["harmless" if same else "bad"] += 1
    return {"bad": 0, **counts}


def caches(count: int, rng: np.random.Generator, folder: pathlib.Path) -> Counts:
    """Every file of a compilation cache damaged: the program compiles again, and gives the same."""
    counts: Counter[str] = Counter()
    command = _python(_CACHED, folder)
    truth = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    for _ in range(count):
        for file in folder.rglob("*-cache"):
            if data := file.read_bytes():
                _ = file.write_bytes(_damage(data, rng))
        process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        counts["runs"] += 1
        counts["bad"] += process.returncode != 0 or process.stdout != truth
        for file in folder.rglob("*-cache"):  # what cannot be read stays there: each trial begins with a whole one
            file.unlink()
        _ = subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return dict(counts)


def calls(count: int, rng: np.random.Generator, folder: pathlib.Path) -> Counts:
    """Restoring again and again in one process: memory and compiled programs do not grow."""
    shape = (32, 32, 3)
    prior = GaussianMixture(jnp.ones(1), jnp.zeros((1, *shape)), jnp.full((1, 32 * 32 * 3), 0.25))
    degradation = jr.Degradation(jr.operators.GaussianBlur(shape, 5, 1.0), jr.GaussianNoise(0.05))
    sampler = jr.spgd(num_steps=2, warmup_steps=1, learning_rate=0.05)
    ys = rng.standard_normal((2, *shape)).astype(np.float32)
    sizes = []
    for i in range(10 * count + 20):
        _ = jr.restore(sampler, prior, degradation, ys, key=jax.random.key(i))
        if i >= 19:
            sizes.append(_resident())
    grown = sizes[-1] - sizes[0]
    return {"calls": 10 * count, "grown_bytes": grown, "bad": int(grown > 2**20 + 10 * count * ys.nbytes // 4)}


def _resident() -> int:
    """Bytes of memory that this process has."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


TRIALS: dict[str, Callable[[int, np.random.Generator, pathlib.Path], Counts]] = {
    "kills": kills,
    "full_disks": full_disks,
    "checkpoints": checkpoints,
    "caches": caches,
    "calls": calls,
}


def main() -> None:
    """Run the trials, print and write their counts."""
    parser = _run.parser(__doc__)
    parser.add_argument("--count", type=int, default=20, help="of each trial; ten times as many calls")
    parser.add_argument("--only", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    earlier = _results.read("trials")  # trials that are not asked for stay as they were
    report: dict[str, Any] = {name: earlier[name] for name in TRIALS if name in earlier}
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            counts = TRIALS[name](arguments.count, np.random.default_rng(arguments.seed), pathlib.Path(folder))
        report[name] = {**counts, "seed": arguments.seed, "revision": _results.REVISION}
        print(json.dumps({name: report[name]}), flush=True)
    print(_results.write("trials", report))
    if bad := sum(report[name]["bad"] for name in arguments.only):
        raise SystemExit(f"{bad} bad outcomes")


if __name__ == "__main__":
    main()
