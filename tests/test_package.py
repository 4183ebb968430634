"""The package: what is in it, what it asks for, how it is cited, and that the guide to it is true."""

import ast
import fnmatch
import pathlib
import re
import sys
import tomllib

import jax
import jax.numpy as jnp
import pytest
from conftest import isotropic

import jaxrestore as jr
from scripts import check_package, try_versions

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = [str(path.relative_to(ROOT)) for package in check_package.PACKAGES for path in (ROOT / package).rglob("*")]
# What is imported by another name than it is installed by.
INSTALLED_AS = {"PIL": "pillow", "orbax": "orbax-checkpoint", "dm_pix": "dm-pix", "ml_dtypes": "ml-dtypes"}


def test_the_wheel_has_all_python_and_all_data():
    for pattern in check_package.DATA:
        assert fnmatch.filter(FILES, pattern), pattern
    for name in ("jaxrestore/cli/compare.py", "jaxrestore/cli/comparison/page.js", "convert_weights/unet.py"):
        assert check_package.belongs(name)
    for name in ("convert_weights/README.md", "tests/conftest.py", "jaxrestore/notes.txt"):
        assert not check_package.belongs(name)


def test_strange_and_missing_files_of_a_distribution_are_found():
    repository = ["jaxrestore/a.py", "jaxrestore/notes.txt", "tests/test_a.py", ".ci/run"]
    whole = ["jaxrestore/a.py", "jaxrestore-1.dist-info/METADATA"]
    assert check_package.faults_of_wheel(whole, repository) == []
    faults = check_package.faults_of_wheel(["tests/test_a.py"], repository)
    assert faults == ["lacks jaxrestore/a.py", "holds tests/test_a.py, which it does not need"]
    source = [f"jaxrestore-1/{name}" for name in (*repository[:3], "PKG-INFO")]
    assert check_package.faults_of_source(source, repository) == []
    assert check_package.faults_of_source([*source[1:], "jaxrestore-1/runs/x"], repository) == [
        "lacks jaxrestore/a.py",
        "holds runs/x, which git does not know",
    ]


def test_oldest_versions_are_those_of_the_project():
    lines = try_versions.constraints("oldest", PROJECT)
    assert len(lines) == len(PROJECT["dependencies"])
    assert "jax==0.10" in lines
    assert try_versions.constraints("newest", PROJECT) == []
    with pytest.raises(ValueError, match=r"'numpy' has no oldest version, expected NAME>=VERSION"):
        try_versions.lower_bounds({"dependencies": ["numpy"]})


def imported(path):
    """Packages that a module imports, from elsewhere than Python itself."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - set(check_package.PACKAGES)


def test_whatever_is_imported_is_asked_for():
    always = set(try_versions.lower_bounds(PROJECT))
    extras = PROJECT["optional-dependencies"]
    optional = {
        re.match(r"[\w-]+", requirement)[0] for name in ("convert", "verify", "plot") for requirement in extras[name]
    }
    needed = {INSTALLED_AS.get(name, name) for path in (ROOT / "jaxrestore").rglob("*.py") for name in imported(path)}
    assert needed - always == {"matplotlib"}  # checked before it is used
    needed = {
        INSTALLED_AS.get(name, name) for path in (ROOT / "convert_weights").glob("*.py") for name in imported(path)
    }
    assert needed <= always | optional


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {jr.__version__}\n" in text
    assert PROJECT["version"] == jr.__version__
    assert f"\nlicense: {PROJECT['license']}\n" in text
    for paper in ("2507.06656", "2402.16907"):
        assert f"arXiv:{paper}" in text
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load(text)
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert all(reference["authors"] for reference in citation["references"])


GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_guide_names_what_there_is():
    files = re.findall(r"`((?:jaxrestore|tests|benchmarks|docs|scripts)/[\w/.]*)`", GUIDE)
    assert len(files) > 10
    for file in files:
        assert (ROOT / file.removesuffix("NAME.py")).exists(), file
    tables = re.findall(r"`([A-Z_]+)` in `([\w/.]+)`", GUIDE)
    assert len(tables) > 5
    for table, file in tables:
        assert re.search(rf"^{table}\b[^=\n]*=", (ROOT / file).read_text(), re.MULTILINE), (table, file)
    for module in re.findall(r"python -m (scripts\.[\w.]*\w)", GUIDE):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_the_guides_method_operator_and_task_work():
    names: dict = {}
    rows = []
    for snippet in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(compile(snippet, "CONTRIBUTING.md", "exec"), names)
        rows.append(names.get("row"))
    method, _, task = rows
    operator = task.build((8, 8, 3), None, strength=0.3)
    assert isinstance(operator, jr.operators.Operator)
    assert task.options == {"strength": 0.5}
    assert method.refusal(operator) is None
    assert "not linear" in method.refusal(jr.operators.PhaseRetrieval((8, 8, 3)))
    assert method.evaluations({"num_steps": 3}) == (3, 3)
    degradation = jr.Degradation(operator, jr.GaussianNoise(0.1))
    key = jax.random.key(0)
    y = degradation.measure(key, jnp.zeros((8, 8, 3)))
    x = method.build(num_steps=3, candidates=2).sample(key, isotropic(), degradation, y).image
    assert jnp.isfinite(x).all()
