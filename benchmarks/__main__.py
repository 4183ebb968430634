"""The benchmark suite, on whatever device JAX finds.

    python -m benchmarks [CASE ...] [--networks photo ffhq256] [--dtypes float32 bfloat16] [--batch-sizes 1 2 4 8]
                         [--size 256] [--minutes 10] [--list]

Each result is written as it comes to `benchmarks/results/suite-DEVICE.json`; measured ones are read back, so a run that
was stopped, or ran out of its minutes, goes on. A large matrix product is timed in turns with the cases: the fraction
of its rate that a case reaches says how much there is left to gain. `python -m benchmarks.render` draws tables and
plots from the files.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _run, networks
from benchmarks.cases import CASES, GROUPS, Case
from jaxrestore.priors import NetworkPrior

_MATRIX = {"cpu": 4096}  # side of the product, large enough that a cold start does not show; elsewhere 8192
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")


def matmul(dtype: str) -> tuple[Any, tuple[jax.Array, ...], float]:
    """A compiled product with a float32 sum, its arguments, and its operations."""
    side = _MATRIX.get(jax.default_backend(), 8192)
    a = jnp.ones((side, side), dtype)
    product = jax.jit(lambda a: jnp.matmul(a, a, preferred_element_type=jnp.float32))
    return product.lower(a).compile(), (a,), 2.0 * side**3


class Program(NamedTuple):
    """A compiled case."""

    case: Case
    call: Callable[[], jax.Array]
    seconds: float  # of its first call
    facts: dict[str, Any]  # known before it is timed


def build(case: Case, prior: NetworkPrior, *, size: int, batch: int) -> Program:
    """Compile a case, and run it once.

    Raises:
      jax.errors.JaxRuntimeError: If it does not fit into the device's memory.
    """
    noise = np.random.default_rng(0).standard_normal((batch, size, size, 3)).astype(np.float32)
    x, y = jnp.asarray(0.5 * noise), jnp.asarray(0.5 * noise[:, ::4, ::4])
    started = time.perf_counter()
    lowered = jax.jit(case.run).lower(prior, x, y)
    traced = time.perf_counter()
    compiled = lowered.compile()
    ready = time.perf_counter()
    jax.block_until_ready(compiled(prior, x, y))
    memory: Any = compiled.memory_analysis()
    facts = {
        "trace_s": traced - started,
        "compile_s": ready - traced,
        "temporary_mb": memory.temp_size_in_bytes / 1e6,
        "arguments_mb": memory.argument_size_in_bytes / 1e6,
        "peak_device_mb": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 1e6,  # of the process
    }
    return Program(case, lambda: compiled(prior, x, y), time.perf_counter() - ready, facts)


def measure(
    programs: Mapping[str, Program], prior: NetworkPrior, *, size: int, batch: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Time programs and a matrix product in turns, for about so many seconds each."""
    product, matrices, operations = matmul(prior.config.dtype)
    calls = {name: program.call for name, program in programs.items()}
    longest = max(program.seconds for program in programs.values())
    repeats = int(np.clip(seconds / max(2 * longest, 1e-6), 3, 15))
    times = _run.alternate({**calls, "matmul": lambda: product(*matrices)}, repeats=repeats)
    best = operations / times["matmul"]["median_s"]
    forward = networks.forward_flops(prior, size)
    results = {}
    for name, (case, _, _, facts) in programs.items():
        median = times[name]["median_s"]
        rate = batch * (case.forwards + case.gradients) * forward / median
        results[name] = {
            "seconds_per_turn": median / case.turns,
            "images_per_s": batch * case.turns / median,
            "tflops_per_s": rate / 1e12,
            "matmul_tflops_per_s": best / 1e12,
            "fraction_of_matmul": rate / best,
            **facts,
            "turns": case.turns,
            "revision": _run.revision(),
            "times_s": times[name]["times_s"],
        }
    return results


def main() -> None:
    """Measure what is missing, within the time."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    single = [name for name in CASES if "published" not in name]
    parser.add_argument("cases", nargs="*", help="names (see --list); all but the published samplers by default")
    parser.add_argument("--networks", nargs="+", default=["photo"], choices=networks.NETWORKS)
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1])
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels")
    parser.add_argument("--turns", type=int, default=3, help="of single steps, in one call")
    parser.add_argument("--seconds", type=float, default=20.0, help="for the repeats of one case")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no further case after this time")
    parser.add_argument("--again", action="store_true", help="measure finished cases again")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; the cases are {', '.join(CASES)}")
    if arguments.list:
        for name, make in CASES.items():
            print(f"{name:16s} {make(arguments.size, arguments.turns).description}")
        return
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured

    file = _run.result_file("suite")
    cells = _run.read_cells("suite")
    finished = set() if arguments.again else set(cells)
    started, too_large = time.monotonic(), set()
    wanted = arguments.cases or single
    groups = [[name for name in group if name in wanted] for group in GROUPS.values()]
    for network, dtype, batch, group in itertools.product(
        arguments.networks, arguments.dtypes, arguments.batch_sizes, groups
    ):
        where = f"{network}/{arguments.size}/{dtype}/{batch}"
        names = [n for n in group if f"{where}/{n}" not in finished and (network, dtype, n) not in too_large]
        if not names:
            continue
        if time.monotonic() - started > 60 * arguments.minutes:
            print("out of time; the same command goes on")
            break
        prior, programs = networks.load(network, dtype), {}
        for name in names:
            case = CASES[name](arguments.size, arguments.turns)
            try:
                programs[name] = build(case, prior, size=arguments.size, batch=batch)
            except jax.errors.JaxRuntimeError as error:
                if not any(words in str(error) for words in _OUT_OF_MEMORY):
                    raise
                too_large.add((network, dtype, name))  # and so are the larger batches
                print(f"{where}/{name}: out of memory", flush=True)
        if not programs:
            continue
        measured = measure(programs, prior, size=arguments.size, batch=batch, seconds=arguments.seconds)
        for name, cell in measured.items():
            cells[f"{where}/{name}"] = cell
            print(
                f"{where}/{name:16s} {1e3 * cell['seconds_per_turn']:9.1f} ms  {cell['images_per_s']:8.2f} images/s  "
                f"{cell['tflops_per_s']:7.3f} TFLOP/s  {cell['fraction_of_matmul']:4.0%} of matmul  "
                f"compiled in {cell['compile_s']:.0f} s",
                flush=True,
            )
        _run.write("suite", {"cells": cells})
    print(file)


if __name__ == "__main__":
    main()
