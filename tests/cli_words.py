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
    """Words that choose SPGD with so few and small steps that it stays finite with any network."""
    return with_settings(prior, num_steps=3, warmup_steps=1, learning_rate=1e-3)
