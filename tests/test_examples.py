"""The examples in docstrings run, and every public factory has one."""

import doctest
import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import pytest
from conftest import isotropic

import jaxrestore as jr

# The names that examples take for granted.
NAMES = {
    "jax": jax,
    "jnp": jnp,
    "jr": jr,
    "key": jax.random.key(0),
    "prior": isotropic((8, 8, 3)),
    "degradation": jr.Degradation(jr.operators.SuperResolution((8, 8, 3), 2, kernel="average"), jr.GaussianNoise(0.1)),
    "y": 0.3 * jax.random.normal(jax.random.key(1), (4, 4, 3)),
}
MODULES = [m.name for m in pkgutil.walk_packages(jr.__path__, "jaxrestore.") if ".cli" not in m.name]


class Finder(doctest.DocTestFinder):
    """One that finds the examples of decorated functions too."""

    def _from_module(self, module, object):
        return super()._from_module(module, inspect.unwrap(object))


def examples(module):
    tests = Finder().find(importlib.import_module(module), extraglobs=NAMES)
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("module", [name for name in MODULES if examples(name)])
def test_examples_print_what_they_say(module):
    for test in examples(module):
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(test)
        assert runner.failures == 0, test.name


def test_every_factory_has_an_example():
    factories = {n: f for n, f in vars(jr).items() if inspect.isfunction(f)} | dict(vars(jr.samplers))
    without = [
        name
        for name, f in factories.items()
        if inspect.isfunction(f)
        and f.__annotations__.get("return") in (jr.Sampler, jr.tasks.Task)
        and ">>>" not in (inspect.getdoc(f) or "")
    ]
    assert not without
