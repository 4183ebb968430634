"""`jaxrestore compare` and `evaluate --report`: the page says what was done, stands alone, and moves as it should."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from cli_words import PHOTO, with_settings

from jaxrestore import images
from jaxrestore.cli import _comparison

pytest_plugins = ["browser_fixtures", "cli_fixtures"]


class Page(html.parser.HTMLParser):
    """What a page holds: elements that are still open, ids, addresses, cells and the pictures."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.rows, self.script = [], [], [], [], ""
        self.labelled = []
        self.feed(text)
        self.scenes = json.loads(self.script)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in self.VOID:
            self.open.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[name] for name in ("src", "href", "action", "srcset", "data") if name in values]
        self.labelled += [values[name] for name in ("aria-labelledby", "aria-describedby") if name in values]
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tag, values = self.open[-1] if self.open else ("", {})
        if tag in ("td", "th"):
            self.rows[-1].append(data)
        if values.get("type") == "application/json":
            self.script += data


def pixels(source):
    """The 8-bit pixels of a picture that stands in the page."""
    from PIL import Image

    head, _, data = source.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def compare(run, prior, *words, methods="spgd,diffpir"):
    images.save("a<b>.png", PHOTO, overwrite=True)
    task = ["--task", "super_resolution", "--option", "factor=2", "--methods", methods, "--prior", prior, "--quiet"]
    steps = ["--set", "num_steps=2", "--set", "spgd.warmup_steps=1", "--set", "spgd.learning_rate=0.001"]
    return run("compare", "a<b>.png", "-o", "page.html", *task, *steps, *words)


def test_the_page_holds_the_pictures_the_numbers_and_the_settings(run, tmp_path, prior):
    code, out, error = compare(run, prior)
    assert code == 0, error
    assert "diffpir" in out
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert set(page.labelled) <= set(page.ids)
    (scene,) = page.scenes
    assert (scene["name"], scene["width"], scene["height"]) == ("a<b>.png", 40, 32)
    shown = {picture["label"]: picture for picture in scene["pictures"]}
    assert list(shown) == ["degraded", "simple answer", "spgd", "diffpir", "original"]
    assert scene["pictures"][scene["right"]]["label"] == "spgd"
    assert pixels(shown["degraded"]["source"]).shape == (16, 20, 3)
    np.testing.assert_array_equal(pixels(shown["original"]["source"]), images.to_uint8(PHOTO))
    # The same numbers in the table that can be read without the script.
    head, *rows = page.rows
    row = dict(zip(head, next(row for row in rows if row[1] == "diffpir"), strict=True))
    assert row["picture"] == "a<b>.png"
    assert row["PSNR"] == shown["diffpir"]["numbers"]["PSNR"]
    assert (row["forward passes"], row["gradients"]) == ("2", "0")
    for word in ("warmup_steps=1", "learning_rate=0.001", "num_steps=2", "factor=2"):
        assert word in text


def test_the_page_asks_for_nothing_from_elsewhere(run, tmp_path, prior):
    assert compare(run, prior, methods="spgd")[0] == 0
    text = (tmp_path / "page.html").read_text()
    assert Page(text).addresses == []  # the script puts in pictures that the page holds
    assert "default-src 'none'; img-src data:" in text
    assert not re.findall(r"https?:|@import|\burl\(|\bfetch\(|XMLHttp|import\(", text)


@pytest.mark.slow
def test_compare_gives_the_scores_of_evaluate_and_its_report_shows_every_picture(run, tmp_path, prior):
    (tmp_path / "in").mkdir()
    assert compare(run, prior, methods="spgd")[0] == 0
    (tmp_path / "a<b>.png").rename(tmp_path / "in" / "a.png")
    images.save(tmp_path / "in" / "b.png", PHOTO[:, :32])
    words = ["evaluate", "in", "-o", "e.json", "--task", "super_resolution", "--option", "factor=2"]
    words += [*with_settings(prior, num_steps=2, warmup_steps=1, learning_rate=0.001), "--report", "report.html"]
    code, _, error = run(*words)
    assert code == 0, error
    first, second = Page((tmp_path / "report.html").read_text()).scenes
    assert [(s["name"], s["width"], s["height"]) for s in (first, second)] == [("a.png", 40, 32), ("b.png", 32, 32)]
    (alone,) = Page((tmp_path / "page.html").read_text()).scenes
    for picture, same in zip(first["pictures"], alone["pictures"], strict=True):
        assert picture["label"] == same["label"]
        np.testing.assert_array_equal(pixels(picture["source"]), pixels(same["source"]))
    psnr = json.loads((tmp_path / "e.json").read_text())["pictures"][0]["restored"]["psnr"]
    assert float(first["pictures"][2]["numbers"]["PSNR"]) == pytest.approx(psnr, abs=1e-3)
    assert "report.html exists" in run(*words, "-o", "f.json")[2]


@pytest.mark.slow
def test_a_method_that_diverges_has_no_picture_and_is_named(run, tmp_path, prior):
    code, out, error = compare(run, prior, "--set", "spgd.learning_rate=1e30")
    assert code == 1
    assert "error: samples diverged" in error
    assert "spgd (lower learning_rate, e.g. --set learning_rate=...)" in error
    assert "diffpir (" not in error
    assert "failed" in out
    shown = {p["label"]: p for p in Page((tmp_path / "page.html").read_text()).scenes[0]["pictures"]}
    assert shown["spgd"]["source"] is None
    assert shown["spgd"]["numbers"]["PSNR"] == "failed"
    assert shown["diffpir"]["source"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "spgd,magic"], "'magic' is none of spgd, "),
        (["--set", "dps.scale=1"], "dps is none of spgd, diffpir"),
        (["--set", "diffpir.scale=1"], "diffpir has no setting scale"),
        (["-o", "page.png"], "page.png has suffix '.png', expected .html"),
        (["--task", "jpeg"], "has no option factor"),
        (["--size", "64"], "the picture has 32x40 pixels, expected at least 64"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_computing(run, tmp_path, prior, words, message):
    code, _, error = compare(run, prior, *words)
    assert code in (1, 2)
    assert message in error
    assert [path.name for path in tmp_path.iterdir()] == ["a<b>.png"]


def test_a_name_that_is_no_text_has_a_page(tmp_path):
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    scene = _comparison.Scene(name, (4, 4, 3), [_comparison.Shown("degraded", np.zeros((4, 4, 3), np.float32))], 0)
    _comparison.write_page(tmp_path / "page.html", name, {}, [scene])
    assert "<h1>caf?.png</h1>" in (tmp_path / "page.html").read_text()


@pytest.fixture
def opened(browser, tmp_path):
    """A page of two scenes, opened in the browser at some size; what it asked for is noted in `requests`."""
    rng = np.random.default_rng(0)
    scenes = []
    for name, shape in (("one", (60, 80, 3)), ("two", (80, 80, 3))):
        truth = rng.uniform(-1, 1, shape).astype(np.float32)
        shown = [_comparison.Shown("degraded", truth[::2, ::2]), _comparison.Shown("spgd", -truth, {"PSNR": 20.0})]
        shown += [_comparison.Shown("dpps", None, {"PSNR": float("nan")}), _comparison.Shown("original", truth)]
        scenes.append(_comparison.Scene(name, shape, shown, 1))
    _comparison.write_page(tmp_path / "page.html", "title", {"task": "denoising"}, scenes)

    def open_page(width=1000, height=800, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        page = context.new_page()
        page.requests, page.faults = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda message: page.faults.append(message.text))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.goto((tmp_path / "page.html").as_uri())
        return page

    return open_page


def split(page):
    return float(page.evaluate("getComputedStyle(document.querySelector('#viewer')).getPropertyValue('--split')")[:-1])


def corners(page):
    """Of all visible pictures: upper left corner and width in parts of the width of the box around them."""
    return page.evaluate("""() => [...document.querySelectorAll("img.layer")].filter((i) => !i.hidden).map((image) => {
        const [a, b] = [image.getBoundingClientRect(), image.closest(".box").getBoundingClientRect()];
        return [(a.x - b.x) / b.width, (a.y - b.y) / b.width, a.width / b.width].map((v) => Math.round(1e3 * v) / 1e3);
    })""")


@pytest.mark.slow
def test_the_slider_moves_by_keyboard_and_by_mouse(opened):
    page = opened()
    assert split(page) == 50
    page.focus("#split")
    page.keyboard.press("ArrowRight")
    assert split(page) == 50.5
    page.keyboard.press("Home")
    assert split(page) == 0
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 3)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20, steps=3)
    page.mouse.up()
    assert split(page) == pytest.approx(75, abs=0.5)
    assert corners(page)[0] == [0, 0, 1]  # the pictures stayed where they were
    # Left of the border is the one picture, right of it the other: the clip's own cut agrees.
    assert "75" in page.evaluate("getComputedStyle(document.querySelector('.clip')).clipPath")
    assert page.faults == []


@pytest.mark.slow
def test_zoom_and_pan_move_all_pictures_together(opened):
    page = opened()
    assert len(corners(page)) == 2 + 3  # the two of the slider, and one tile each but for the one that diverged
    page.locator("#tiles .box").nth(1).dblclick()
    (first, *others) = corners(page)
    assert first[2] == 2
    assert all(corner == first for corner in others)
    page.focus("#stage")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    (moved, *others) = corners(page)
    assert moved[2] == 3
    assert moved[0] < first[0]
    assert all(corner == moved for corner in others)
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    page.mouse.up()
    (dragged, *others) = corners(page)
    assert dragged[0] == pytest.approx(moved[0] + 0.1, abs=0.01)  # the picture follows the hand
    assert all(corner == dragged for corner in others)
    assert page.text_content("#level") == "300 %"
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function("document.querySelector('#level').textContent !== '300 %'")
    assert len({tuple(corner) for corner in corners(page)}) == 1
    page.click("#reset")
    assert {tuple(corner) for corner in corners(page)} == {(0, 0, 1)}
    assert page.faults == []


@pytest.mark.slow
def test_one_may_choose_what_is_compared(opened):
    page = opened()
    assert page.text_content("#after-name") == "spgd"
    page.get_by_role("button", name="original").click()
    assert page.text_content("#after-name") == "original"
    page.select_option("#left", label="spgd")
    assert page.text_content("#before-name") == "spgd"
    page.select_option("#right", label="dpps")
    assert page.locator("#after").is_hidden()  # it diverged: nothing to show
    page.select_option("#right", label="original")
    page.select_option("#scene", label="two")
    assert page.text_content("#after-name") == "original"  # kept from picture to picture
    box = page.locator("#stage").bounding_box()
    assert box["width"] == pytest.approx(box["height"])
    assert page.faults == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window_and_asks_for_nothing(opened, width, scheme):
    page = opened(width, color_scheme=scheme)
    page.wait_for_function("[...document.images].filter((i) => !i.hidden).every((i) => i.complete && i.naturalWidth)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    lightness = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + +b, 0)"
    )
    assert (lightness > 600) == (scheme == "light")
    asked = [url for url in page.requests if not url.startswith(("data:", "blob:"))]
    assert len(asked) == 1  # the page itself
    assert asked[0].startswith("file:")
    assert page.faults == []
