"""Whether built distributions hold what they need and nothing else.

    python -m build --outdir dist && python -m scripts.check_package dist

The wheel has every file of the packages that git knows, and no other; the source distribution has besides what builds,
tests and documents it.
"""

import argparse
import fnmatch
import pathlib
import subprocess
import tarfile
import zipfile
from collections.abc import Collection, Iterable

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("jaxrestore", "convert_weights")
MODULES = ("jaxrestore_command.py",)  # beside the packages
# What an installed package reads or shows beside its Python.
DATA = (
    "jaxrestore/cli/comparison/page.*",
    "jaxrestore/metrics/lpips_alexnet.npz",
    "jaxrestore/photographs/*.png",
    "jaxrestore/priors/bundled/*",
)
LARGEST = 60  # MB, of either; package indices take files of 100 MB


def tracked() -> list[str]:
    """The files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]


def belongs(name: str) -> bool:
    """Whether a file of the repository belongs into the wheel."""
    packaged = name.startswith(tuple(f"{package}/" for package in PACKAGES))
    return name in MODULES or (
        packaged and (name.endswith(".py") or any(fnmatch.fnmatch(name, pattern) for pattern in DATA))
    )


def faults_of_wheel(names: Iterable[str], repository: Collection[str]) -> list[str]:
    """What a wheel with these files lacks of a repository's, or has too much."""
    held = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    expected = {name for name in repository if belongs(name)}
    lacking = [f"lacks {name}" for name in sorted(expected - held)]
    return lacking + [f"holds {name}, which it does not need" for name in sorted(held - expected)]


def faults_of_source(names: Iterable[str], repository: Collection[str]) -> list[str]:
    """What a source distribution with these files (under their common folder) lacks, or has too much."""
    held = {name.partition("/")[2] for name in names} - {"PKG-INFO", ""}
    lacking = [f"lacks {name}" for name in sorted(set(repository) - held) if not name.startswith(".ci/")]
    return lacking + [f"holds {name}, which git does not know" for name in sorted(held - set(repository))]


def main() -> None:
    """Print the faults of the distributions in a folder, and leave with 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="where the wheel and the source distribution lie")
    folder = parser.parse_args().folder
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    repository = tracked()
    with zipfile.ZipFile(wheel) as archive:
        faults = {wheel: faults_of_wheel(archive.namelist(), repository)}
    with tarfile.open(source) as archive:
        faults[source] = faults_of_source((m.name for m in archive if m.isfile()), repository)
    for path, found in faults.items():
        megabytes = path.stat().st_size / 1e6
        if megabytes > LARGEST:
            found.append(f"has {megabytes:.0f} MB, expected at most {LARGEST}")
        print(f"{path.name}: {megabytes:.1f} MB", *found, sep="\n  ")
    if any(faults.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
