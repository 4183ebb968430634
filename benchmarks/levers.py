"""What is each way of being fast worth, alone? `benchmarks/NOTES.md` says what was expected and what came out.

    python -m benchmarks.levers [LEVER ...] [--repeats 7]

A lever is something that the library does for speed, or could do; its variants run in turns.
"""

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from benchmarks import _cells, _run, variants
from benchmarks.variants import Variants

Costs = dict[str, dict[str, Any]]  # variant -> median seconds and, where it is known, temporary memory

LEVERS: dict[str, Callable[[], Variants]] = {
    make.__name__: make
    for make in (
        variants.bfloat16,
        variants.rematerialisation,
        variants.one_vjp,
        variants.unrolling,
        variants.group_norm,
        variants.group_norm_backward,
        variants.sums_of_gradients,
        variants.shifted_products,
        variants.attention,
        variants.layout,
        variants.blur,
        variants.candidates,
    )
}
FLAGS = {
    "cpu": (
        "XLA_FLAGS=--xla_cpu_prefer_vector_width=512",
        "XLA_FLAGS=--xla_cpu_enable_fast_min_max=true",
        "XLA_FLAGS=--xla_cpu_use_onednn=true",
        "GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
    ),
    "gpu": (
        "XLA_FLAGS=--xla_gpu_autotune_level=4",
        "XLA_FLAGS=--xla_gpu_enable_triton_gemm=false",
        "XLA_FLAGS=--xla_gpu_enable_command_buffer=",
    ),
}
_STEPS_IN_A_PROCESS = """
from benchmarks import levers, variants
arguments = (levers.jr.load_prior("photo"), variants.image(variants.SIZE))
print(levers.measure({"steps": (variants.gradient_steps, arguments)}, 5)["steps"]["median_s"])
"""


def measure(lever: Variants, repeats: int) -> Costs:
    """Median seconds and temporary memory of each variant."""
    compiled = {name: jax.jit(f).lower(*arguments).compile() for name, (f, arguments) in lever.items()}
    placed = {name: jax.device_put(arguments) for name, (_, arguments) in lever.items()}
    times = _run.alternate({name: (lambda n=name: compiled[n](*placed[n])) for name in lever}, repeats=repeats)
    memory: dict[str, Any] = {name: program.memory_analysis() for name, program in compiled.items()}
    return {
        name: {"median_s": times[name]["median_s"], "temporary_mb": memory[name].temp_size_in_bytes / 1e6}
        for name in lever
    }


def donation(repeats: int) -> Costs:
    """Steps of SPGD for a batch of 8, each from the state of the last, which is kept or given away."""
    size = variants.SIZE
    prior, operator = jr.load_prior("photo"), jr.operators.SuperResolution((size, size, 3), 4)
    degradation = jr.Degradation(operator, jr.GaussianNoise(0.01))
    sampler = jr.spgd(num_steps=100, warmup_steps=1)
    ys = jax.vmap(operator)(jnp.broadcast_to(variants.image(size), (8, size, size, 3)))
    start = jax.jit(jax.vmap(lambda key, y: sampler.init(key, prior, degradation, y)))

    def step(state, prior, ys):
        return jax.vmap(lambda state, y: sampler.step(state, prior, degradation, y)[0])(state, ys)

    states = {name: start(jax.random.split(jax.random.key(0), len(ys)), ys) for name in ("kept", "donated")}
    compiled = {
        name: jax.jit(step, donate_argnums=(0,) if name == "donated" else ()).lower(state, prior, ys).compile()
        for name, state in states.items()
    }

    def advance(name: str) -> jax.Array:
        states[name] = compiled[name](states[name], prior, ys)
        return states[name].x

    times = _run.alternate({name: functools.partial(advance, name) for name in states}, repeats=repeats)
    costs = {}
    for name in states:
        memory: Any = compiled[name].memory_analysis()
        beside = memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        costs[name] = {"median_s": times[name]["median_s"], "temporary_mb": beside / 1e6}
    return costs


def flags(repeats: int) -> Costs:
    """Three gradient steps under flags of XLA and of the C library, each in processes of its own, in turns."""
    times: dict[str, list[float]] = {}
    for _ in range(max(1, repeats // 3)):
        for flag in ("none", *FLAGS.get(jax.default_backend(), ())):
            variable, _, value = flag.partition("=")
            changed = {variable: f"{os.environ.get(variable, '')} {value}".strip()} if value else {}
            command = [sys.executable, "-c", _STEPS_IN_A_PROCESS]
            done = subprocess.run(command, env={**os.environ, **changed}, capture_output=True, text=True)
            if done.returncode == 0:
                times.setdefault(flag, []).append(float(done.stdout))
            else:
                times.setdefault(f"{flag} (refused)", []).append(float("nan"))
    return {flag: {"median_s": float(np.median(seconds))} for flag, seconds in times.items()}


OTHER_LEVERS: dict[str, Callable[[int], Costs]] = {"donation": donation, "flags": flags}


def show(lever: str, costs: Costs) -> None:
    """Print a lever, one line a variant; ratios are to the first one."""
    first = next(iter(costs.values()))["median_s"]
    for variant, cost in costs.items():
        memory = f"{cost['temporary_mb']:8.1f} MB" if "temporary_mb" in cost else ""
        seconds = cost["median_s"]
        print(f"{lever:18s} {variant:36s} {1e3 * seconds:9.2f} ms  {seconds / first:5.2f}  {memory}", flush=True)


def main() -> None:
    """Measure the levers that are due, and print them."""
    parser = _run.parser(__doc__)
    everything = [*LEVERS, *OTHER_LEVERS]
    parser.add_argument("levers", nargs="*", default=everything, metavar="LEVER", help="by default all")
    parser.add_argument("--repeats", type=int, default=7)
    _cells.add_options(parser)
    arguments = parser.parse_args()
    if unknown := set(arguments.levers) - set(everything):
        parser.error(f"no lever {', '.join(sorted(unknown))}; the levers are {', '.join(everything)}")
    cells, facts = _cells.Cells("levers", arguments), {"size": variants.SIZE}
    for name in arguments.levers:
        if cells.due(name, facts):
            repeats = arguments.repeats
            costs = measure(LEVERS[name](), repeats) if name in LEVERS else OTHER_LEVERS[name](repeats)
            cells.write({name: {**facts, "variants": costs}})
            show(name, costs)
    print(cells.path)


if __name__ == "__main__":
    main()
