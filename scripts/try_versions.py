"""The tests with the oldest versions of all dependencies that are allowed, or with the newest there are.

    python -m scripts.try_versions oldest [PYTEST ARGUMENT ...]
    python -m scripts.try_versions newest -m slow

Each run installs into an environment of its own, which is deleted afterwards; the tests are those of the
default command unless arguments say otherwise. `--install-only` just shows which versions are found.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Mapping

ROOT = pathlib.Path(__file__).parent.parent
_BOUND = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*([0-9.]+)")


def lower_bounds(project: Mapping) -> dict[str, str]:
    """The oldest versions that a project's own requirements allow."""
    bounds = {}
    for requirement in project["dependencies"]:
        match = _BOUND.match(requirement)
        if match is None:
            raise ValueError(f"{requirement!r} has no oldest version, expected NAME>=VERSION")
        bounds[match[1]] = match[2]
    return bounds


def constraints(end: str, project: Mapping) -> Iterable[str]:
    """Lines of a constraints file: the oldest versions, or none, which gives the newest."""
    return [f"{name}=={version}" for name, version in lower_bounds(project).items()] if end == "oldest" else []


def main() -> None:
    """Install, show what was installed, test; leaves with the tests' own code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("end", choices=("oldest", "newest"))
    parser.add_argument("--install-only", action="store_true", help="run no test")
    options, words = parser.parse_known_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.TemporaryDirectory(prefix="jaxrestore-versions-") as folder:
        environment = pathlib.Path(folder)
        venv.create(environment, with_pip=True)
        python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        constraint = environment / "constraints.txt"
        constraint.write_text("\n".join(constraints(options.end, project)) + "\n")
        install = [python, "-m", "pip", "install", "--quiet", "--upgrade", "--constraint", constraint, f"{ROOT}[test]"]
        subprocess.run(install, check=True)
        subprocess.run([python, "-m", "pip", "list"], check=True)
        if not options.install_only:
            # Not from the repository's folder, whose package would be found first; the configuration is the one there.
            tests = [python, "-P", "-m", "pytest", "--rootdir", ROOT, "-c", ROOT / "pyproject.toml"]
            raise SystemExit(subprocess.run([*tests, *(words or [ROOT / "tests"])], cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
