"""The README's Python runs, in order, as a reader would type it."""

import pathlib
import re

import numpy as np

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_snippets_run():
    names: dict = {}
    for snippet in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        exec(compile(snippet, str(README), "exec"), names)
    assert names["result"].image.shape == (64, 64, 3)
    assert names["spreads"].shape == (2, 32, 32, 3)
    assert names["images"].shape == (2, 64, 64, 3)
    assert np.isfinite(names["images"]).all()


def test_pictures_and_pages_exist():
    for target in re.findall(r"\]\(([^)h#][^)]*)\)", README.read_text()):
        assert (README.parent / target).is_file(), target
