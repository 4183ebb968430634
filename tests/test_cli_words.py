"""Seeds and values on the command line, and numbers in what it writes."""

import itertools
from typing import get_args

import click
import jax
import pytest

import jaxrestore as jr
from jaxrestore.cli._reports import json_scores
from jaxrestore.cli._seeds import Purpose, key_for
from jaxrestore.cli._values import annotations, parse_values
from jaxrestore.evaluation import Scores


@pytest.mark.slow
def test_no_key_of_one_purpose_is_one_of_another():
    """Each purpose's own key, those of many pictures, and of their samples; and what a split of each gives."""
    keys = []
    for purpose, seed in itertools.product(get_args(Purpose), (0, 1)):
        own = key_for(purpose, seed)
        pictures = jax.vmap(lambda i, own=own: jax.random.fold_in(own, i))(jax.numpy.arange(2000))
        samples = jax.vmap(lambda key: jax.random.split(key, 4))(pictures).reshape(-1)
        keys.append({tuple(map(int, data)) for part in (own[None], pictures, samples) for data in jax.random.key_data(part)})  # fmt: skip
    for some, others in itertools.combinations(keys, 2):
        assert not some & others


def test_values_are_read_as_the_annotations_say():
    build = jr.TASKS["super_resolution"].build
    assert parse_values(["factor=4", "kernel=average"], annotations(build)) == {"factor": 4, "kernel": "average"}
    values = parse_values(["num_steps=7", "learning_rate=2"], annotations(jr.spgd))
    assert values == {"num_steps": 7, "learning_rate": 2.0}
    assert isinstance(values["num_steps"], int)
    assert isinstance(values["learning_rate"], float)
    assert parse_values(["aligned=False"], annotations(jr.dpps)) == {"aligned": False}
    assert parse_values(["channel_mult=1,2,"], annotations(jr.priors.UNetConfig)) == {"channel_mult": (1, 2)}
    assert parse_values(["num_classes=3"], annotations(jr.priors.UNetConfig)) == {"num_classes": 3}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("num_steps=2.5", "num_steps is '2.5', expected a whole number"),
        ("learning_rate=fast", "learning_rate is 'fast', expected a number"),
        ("likelihood=mine", "likelihood cannot be given as likelihood=VALUE"),
        ("=2", "'=2' is no NAME=VALUE"),
    ],
)
def test_values_of_another_kind_are_refused(pair, message):
    with pytest.raises(click.UsageError, match=message):
        parse_values([pair], annotations(jr.spgd))


def test_json_has_no_word_for_what_is_not_finite():
    assert json_scores(Scores(float("inf"), 0.5, float("nan"))) == {"psnr": None, "ssim": 0.5, "lpips": None}
