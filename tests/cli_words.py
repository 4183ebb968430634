"""A picture, and the words that choose a method with little work, for the tests of the command line."""

import numpy as np

PHOTO = np.random.default_rng(0).uniform(-0.9, 0.9, (32, 40, 3)).astype(np.float32)


def with_settings(prior, method="spgd", **settings):
    """Words that choose a prior's folder, a method and its settings."""
    words = ["--prior", prior, "--quiet", "--method", method]
    for name, value in settings.items():
        words += ["--set", f"{name}={value}"]
    return words


def fast(prior):
    """Words that choose RED-diff, which takes every task, stays finite with any network, and compiles no gradient of it."""
    return with_settings(prior, "reddiff", num_steps=3)
