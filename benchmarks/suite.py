"""How fast are forward passes, gradients, steps and whole samplers, on whatever device JAX finds?

    python -m benchmarks.suite [CASE ...] [--networks photo ffhq256] [--dtypes float32 bfloat16] [--batch-sizes 1 2 4 8]

A large matrix product is timed in turns with the cases: the fraction of its rate that a case reaches says how much
there is left to gain. `--list` names the cases; `python -m benchmarks.render` draws tables and plots from the results.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _cells, _run, networks
from benchmarks.cases import CASES, GROUPS, Case
from jaxrestore.priors import NetworkPrior

_MATRIX_SIDES = {"cpu": 4096}  # large enough that a cold start does not show; 8192 on other devices
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")


def matmul(dtype: str) -> tuple[Callable[..., jax.Array], jax.Array, float]:
    """A compiled product of a matrix with itself, its sum in float32; the matrix; and the operations of the product."""
    side = _MATRIX_SIDES.get(jax.default_backend(), 8192)
    matrix = jnp.ones((side, side), dtype)
    product = jax.jit(lambda a: jnp.matmul(a, a, preferred_element_type=jnp.float32))
    return product.lower(matrix).compile(), matrix, 2.0 * side**3


class Program(NamedTuple):
    """A compiled case."""

    case: Case
    call: Callable[[], jax.Array]
    first_call_s: float
    costs: dict[str, Any]  # of compilation and memory


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
    costs = {
        "trace_s": traced - started,
        "compile_s": ready - traced,
        "temporary_mb": memory.temp_size_in_bytes / 1e6,
        "arguments_mb": memory.argument_size_in_bytes / 1e6,
        "peak_device_mb": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 1e6,  # of the process
    }
    return Program(case, lambda: compiled(prior, x, y), time.perf_counter() - ready, costs)


def build_what_fits(cases: Mapping[str, Case], prior: NetworkPrior, *, size: int, batch: int) -> dict[str, Program]:
    """Compile cases, and leave out those that the device's memory does not hold."""
    programs = {}
    for name, case in cases.items():
        try:
            programs[name] = build(case, prior, size=size, batch=batch)
        except jax.errors.JaxRuntimeError as error:
            if not any(words in str(error) for words in _OUT_OF_MEMORY):
                raise
    return programs


def measure(
    programs: Mapping[str, Program], prior: NetworkPrior, *, size: int, batch: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Time programs and a matrix product in turns, for about so many seconds each."""
    product, matrix, operations = matmul(prior.config.dtype)
    calls = {name: program.call for name, program in programs.items()}
    longest = max(program.first_call_s for program in programs.values())
    repeats = int(np.clip(seconds / max(2 * longest, 1e-6), 3, 15))
    times = _run.alternate({**calls, "matmul": lambda: product(matrix)}, repeats=repeats)
    matmul_rate = operations / times["matmul"]["median_s"]
    forward = networks.forward_flops(prior, size)
    cells = {}
    for name, (case, _, _, costs) in programs.items():
        median = times[name]["median_s"]
        rate = batch * sum(case.evaluations) * forward / median  # a gradient has the operations of a forward pass
        cells[name] = {
            "seconds_per_turn": median / case.turns,
            "images_per_s": batch * case.turns / median,
            "tflops_per_s": rate / 1e12,
            "matmul_tflops_per_s": matmul_rate / 1e12,
            "fraction_of_matmul": rate / matmul_rate,
            **costs,
            "turns": case.turns,
            "evaluations": case.evaluations._asdict(),
            "times_s": times[name]["times_s"],
        }
    return cells


def show(label: str, cell: Mapping[str, Any]) -> None:
    """Print a cell as a line."""
    print(
        f"{label:40s} {1e3 * cell['seconds_per_turn']:9.1f} ms  {cell['images_per_s']:8.2f} images/s  "
        f"{cell['tflops_per_s']:7.3f} TFLOP/s  {cell['fraction_of_matmul']:4.0%} of matmul  "
        f"compiled in {cell['compile_s']:.0f} s",
        flush=True,
    )


def command_line() -> argparse.ArgumentParser:
    """The suite's arguments."""
    parser = _run.parser(__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="by default all but the published samplers")
    parser.add_argument("--networks", nargs="+", default=["photo"], choices=networks.NETWORKS)
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1])
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels")
    parser.add_argument("--turns", type=int, default=3, help="single steps in one call")
    parser.add_argument("--seconds", type=float, default=20.0, help="for the repeats of one case")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    _cells.add_options(parser)
    return parser


def main() -> None:
    """Measure the cases that are due, group by group."""
    parser = command_line()
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; the cases are {', '.join(CASES)}")
    size, cases = arguments.size, {name: make(arguments.size, arguments.turns) for name, make in CASES.items()}
    if arguments.list:
        for name, case in cases.items():
            print(f"{name:16s} {case.description}")
        return
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured

    cells = _cells.Cells("suite", arguments)
    asked = set(arguments.cases) or {name for name in CASES if "published" not in name}
    too_large = set()  # (network, dtype, case); what does not fit does not fit with more images either
    for network, dtype, batch, group in itertools.product(
        arguments.networks, arguments.dtypes, arguments.batch_sizes, GROUPS.values()
    ):
        where = f"{network}/{size}/{dtype}/{batch}"
        facts = {name: {"description": cases[name].description} for name in group if name in asked}
        possible = [name for name in facts if (network, dtype, name) not in too_large]
        due = {name: cases[name] for name in possible if cells.due(f"{where}/{name}", facts[name])}
        if not due:
            continue
        prior = networks.load(network, dtype)
        programs = build_what_fits(due, prior, size=size, batch=batch)
        for name in set(due) - set(programs):
            too_large.add((network, dtype, name))
            print(f"{where}/{name}: out of memory", flush=True)
        if programs:
            measured = measure(programs, prior, size=size, batch=batch, seconds=arguments.seconds)
            cells.write({f"{where}/{name}": {**facts[name], **cell} for name, cell in measured.items()})
            for name, cell in measured.items():
                show(f"{where}/{name}", cell)
    print(cells.path)


if __name__ == "__main__":
    main()
