"""The site: its tutorials run, every method has a page, pages say what code and result files say, and it builds."""

import functools
import html.parser
import http.server
import json
import pathlib
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import network, smallest_network

import jaxrestore as jr
from benchmarks import _comparable, networks
from jaxrestore import images
from scripts.site import examples, methods, reference, results, tasks, uncertainty

pytest_plugins = ["browser_fixtures"]

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
QUICK = ("export",)  # the others compile more
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in examples.NAMES if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_tutorials_run_at_small_size(name, monkeypatch, tmp_path, capsys):
    """With the smallest networks under the names of the priors that they load."""
    if name == "export":
        pytest.importorskip("flatbuffers", reason="jax.export writes with flatbuffers")
    priors = {"photo": smallest_network(), "priors/ffhq256": network(channel_mult=(1,))}
    monkeypatch.setattr(jr, "load_prior", priors.__getitem__)
    monkeypatch.chdir(tmp_path)
    images.save(tmp_path / "faces" / "a.png", np.zeros((32, 32, 3), np.float32))
    source = examples.small((DOCS / "examples" / f"{name}.py").read_text())
    exec(compile(source, f"{name}.py", "exec"), {"__name__": "__main__"})
    assert "nan" not in capsys.readouterr().out.lower()


def test_every_tutorial_is_listed_and_becomes_a_page():
    assert {path.stem for path in (DOCS / "examples").glob("*.py")} == set(examples.NAMES)
    for name in examples.NAMES:
        page = examples.page(name)
        assert page.startswith("# ")
        assert "  # small: " not in page
        assert page.count("```") % 2 == 0
        code = "\n".join(re.findall(r"```python\n(.*?)\n```", page, re.DOTALL))
        compile(code, name, "exec")


def test_what_a_test_makes_small_is_what_the_script_says():
    assert examples.small("SIZE = 128  # small: 32\nother = 1  # a comment\n") == "SIZE = 32\nother = 1  # a comment\n"


def test_every_method_has_a_page_with_its_facts():
    written = {path.stem for path in (DOCS / "methods").glob("*.md")}
    assert written == set(jr.METHODS)
    overview = methods.pages()["methods/index.md"]
    for name in jr.METHODS:
        text = (DOCS / "methods" / f"{name}.md").read_text()
        assert f"{{{{ method {name} }}}}" in text
        assert f"{{{{ strip {name} }}}}" in text
        for heading in ("## Algorithm", "## Its settings in pictures", "## When to choose it"):
            assert heading in text
        assert f"[`{name}`]({name}.md)" in overview
        described = methods.arguments(name)
        assert set(described) == set(jr.METHODS[name].defaults_of_factory), name  # the docstring has all of them


def test_facts_are_those_of_the_rows():
    facts = methods.facts("spgd")
    row = jr.METHODS["spgd"]
    assert f"| defaults | {row.evaluations({}).forward} |" in facts
    assert "`learning_rate` says how much the measurement counts" in facts
    assert "| `momentum` | `0.9` | beta of `adaptive_directional_momentum`" in facts
    assert "linear operator with a singular value decomposition" in methods.facts("ddrm")
    cell = json.loads(results.QUALITY.read_text())["cells"]["super_resolution/spgd"]["mean"]
    assert f"| super resolution | {cell['psnr']:.1f} |" in facts


def test_every_result_file_with_a_table_has_a_page():
    pages = results.pages()
    from benchmarks import render

    files = [file for name in render.RENDERINGS for file in results.RESULTS.glob(f"{name}*.json")]
    assert len(files) > 3
    for file in files:
        assert any(f"`{file.name}`" in page for name, page in pages.items() if name != "results/index.md"), file
    quality = pages["results/quality-128.md"]
    for cell in json.loads(results.QUALITY.read_text())["cells"].values():
        assert f"{cell['mean']['psnr']:.1f}" in quality


def test_a_ratio_names_the_processor_of_its_own_cell():
    last = {"processor": "Last", "cpus": 2}
    report = {"revision": "b", "environment": last}
    unnamed = "a processor that the file does not name"
    assert results.processor(report, {"revision": "b"}) == "Last, 2 cores"
    assert results.processor(report, {"revision": "a"}) == unnamed
    assert (
        results.processor(report, {"revision": "a", "environment": {"processor": "Own", "cpus": 4}}) == "Own, 4 cores"
    )
    assert results.processor({**report, "environment": {}}, {}) == unnamed
    assert "- `ffhq256/256/float32/1`: " in results.pages()["results/against_torch.md"]


def test_pages_say_what_was_measured_by_an_earlier_rule():
    cell = {"mean": {"psnr": 20.0, "lpips": 0.1}}
    assert results.earlier("motion_deblur/ddnm", cell) == ["motion_deblur", "ddnm"]
    assert results.earlier("motion_deblur/ddnm", {**cell, "date": "2999-01-01T00:00:00+00:00"}) == []
    assert results.earlier("denoising/dps", cell) == []
    assert "published one" in results.warning(["ddnm"])
    stated = {"prior": networks.photo_facts()["prior"], "shape": [1, 128, 128, 3], "date": "2999-01-01T00:00:00+00:00"}
    today = json.loads(json.dumps(jr.METHODS["ddnm"].complete(jr.TASKS["denoising"].changes("ddnm", "photo"))))
    assert results.earlier("denoising/ddnm", {**stated, "settings": today}) == []
    assert results.earlier("denoising/ddnm", {**stated, "settings": {**today, "eta": 0.01}}) == ["settings"]
    assert not results.warning([])


def test_scores_are_compared_among_cells_of_one_prior_and_the_same_photographs():
    def cell(prior, *names):
        return {"prior": prior, "pictures": dict.fromkeys(names), "shape": [len(names), 128, 128, 3]}

    today = networks.photo_facts()["prior"]
    cells = {
        "a/spgd": cell("another", "1", "2"),
        "a/dps": cell(today, "1", "2"),
        "b/dps": cell(today, "1", "2"),
        "b/spgd": cell(today, "1"),
    }
    groups = _comparable.comparable(cells)
    assert [sorted(group) for _, group in groups] == [["a/dps", "b/dps"], ["b/spgd"], ["a/spgd"]]
    assert [words for words, _ in groups] == [
        "2 photographs of 128x128, with the bundled prior",
        "1 photograph of 128x128, with the bundled prior",
        "2 photographs of 128x128, with an earlier prior of the same name",
    ]
    assert results.earlier("a/dps", cells["a/spgd"]) == ["photo"]


def test_the_reference_has_every_public_name():
    pages = reference.pages()
    for name, value in vars(jr).items():
        if not name.startswith("_") and not hasattr(value, "__path__") and type(value).__name__ != "module":
            assert f"heading: jaxrestore.{name}\n" in pages["reference/jaxrestore.md"], name
    assert "heading: jaxrestore.operators.SpaceVaryingBlur\n" in pages["reference/jaxrestore.operators.md"]
    assert "::: jaxrestore.samplers.spgd.spgd\n" in pages["reference/jaxrestore.md"]
    entries = [entry for page in pages.values() for entry in re.findall(r"^::: (.*)$", page, re.MULTILINE)]
    assert len(entries) == len(set(entries))  # once each
    assert "--self-ensemble" in pages["reference/command-line.md"]


def test_task_table_has_every_task():
    table = tasks.tasks("all")
    assert all(f"| `{name}` |" in table for name in jr.TASKS)


class Addresses(html.parser.HTMLParser):
    """What a page fetches by itself, and the pages that it links to."""

    def __init__(self, text):
        super().__init__()
        self.fetched = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video", "embed", "object"):
            self.fetched += [values[name] for name in ("src", "data", "srcset") if name in values]
        if tag == "link" and "canonical" not in values.get("rel", ""):
            self.fetched.append(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `mkdocs build --strict` makes it."""
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(package, reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_the_site_builds_and_fetches_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        for address in Addresses(page.read_text()).fetched:
            assert not address.startswith(("http:", "https:", "//")), (page, address)
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(?:https?:)?//", style.read_text()), style


@pytest.fixture
def address(site):
    """Of a server of the site on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1300])
def test_pages_in_a_browser_ask_for_nothing_from_elsewhere(browser, address, width):
    page = browser.new_context(viewport={"width": width, "height": 800}).new_page()
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    for place in ("", "methods/spgd/", "results/quality-128/", "reference/jaxrestore/", "tutorials/own_operator/"):
        page.goto(f"{address}/{place}", wait_until="networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
    if width > 1000:
        page.click(".md-search__input")
        page.keyboard.type("momentum")
        page.wait_for_selector(".md-search-result__link")
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert failed == []


def test_what_is_said_of_uncertainty_is_what_was_measured():
    cells = json.loads((results.RESULTS / "coverage-64-cpu.json").read_text())["cells"]
    worlds = [(cell["photographs"], cell["draws"]) for cell in cells.values()]
    assert all(photographs["ratio"] > 1 for photographs, _ in worlds), "every method is too sure"
    assert all(draws["ratio"] > 0.7 * photographs["ratio"] for photographs, draws in worlds), "most is the samplers'"
    edges = [cell["by_distance"]["on edges"]["within"][1] < cell["within"][1] + 0.02 for cell, _ in worlds]
    assert np.mean(edges) > 0.9, "edges are worst nearly everywhere"
    page = uncertainty.photographs("all")
    row = f"{100 * cells['denoising/ddrm']['photographs']['within'][0]:.0f}/"
    assert f"| denoising | `ddrm` | {row}" in page
    cells = json.loads((results.RESULTS / "posterior-cpu.json").read_text())["cells"]
    pspgd = f"{cells['80/0.1/pspgd']['sliced_wasserstein']:.2f}"
    assert pspgd in uncertainty.posteriors("preconditioned")
    assert uncertainty.posteriors("ideas").count("\n") == 9
