"""How long until `jaxrestore demo` starts sampling, the first time and again?

    python -m benchmarks.first_step [--repeats 3]

The command runs in processes of its own with a compilation cache that starts empty, until its loop over the steps is
compiled or read back; imports, the prior, the measurement and the first state count.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import _results, _run

# Stands in for the loop over the steps: readies the program that would run, says how late it is, and ends the process.
_UNTIL_SAMPLING = """
import importlib.metadata, os, sys, time
from jaxrestore import streaming
advance = streaming._advance
def ready(*arguments):
    advance.lower(*arguments).compile()
    print(time.time() - float(os.environ["STARTED"]), flush=True)
    os._exit(0)
streaming._advance = ready
sys.argv = ["jaxrestore", "demo", "--quiet", "-o", os.path.join(os.environ["FOLDER"], "demo.png")]
(command,) = importlib.metadata.entry_points(group="console_scripts", name="jaxrestore")
command.load()()
"""


def until_sampling(folder: str) -> float:
    """Seconds from the start of the process, with the compilation cache in `folder`."""
    inherited = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment = {**inherited, "XDG_CACHE_HOME": folder, "FOLDER": folder, "STARTED": str(time.time())}
    command = [sys.executable, "-c", _UNTIL_SAMPLING]
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout)


def main() -> None:
    """Measure, print and write the result."""
    parser = _run.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="of the warm start")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cold = until_sampling(folder)
        warm = [until_sampling(folder) for _ in range(arguments.repeats)]
    report = {"shape": [256, 256, 3], "dtype": "float32", "cold_s": cold, "warm_s": statistics.median(warm)}
    print(f"sampling starts after {cold:.1f} s, the next time after {report['warm_s']:.1f} s")
    print(_results.write("first_step", {**report, "warm_times_s": warm}))


if __name__ == "__main__":
    main()
