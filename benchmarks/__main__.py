"""Prints which benchmarks there are and how each is started, as the modules' own docstrings say."""

import ast
import pathlib
import re
from typing import NamedTuple


class Benchmark(NamedTuple):
    """What a module that can be started says of itself."""

    name: str  # of the module
    question: str  # first line of its docstring
    command: str  # how it is started, with its most important arguments


def benchmarks() -> list[Benchmark]:
    """All modules of this package whose docstring names a command. They are read, not imported: some need extras."""
    listed = []
    for path in sorted(pathlib.Path(__file__).parent.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        command = re.search(rf"python -m benchmarks\.{path.stem}\b[^`\n]*", text)
        if command:
            listed.append(Benchmark(path.stem, text.splitlines()[0], command.group()))
    return listed


def main() -> None:
    """Print the list."""
    for benchmark in benchmarks():
        print(f"{benchmark.name}: {benchmark.question}\n    {benchmark.command}\n")
    print("`--help` after a command says more. Results are written to benchmarks/results/.")


if __name__ == "__main__":
    main()
