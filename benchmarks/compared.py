"""The methods that `benchmarks.posterior` compares: which of their settings is tuned, and what the others are."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jaxrestore as jr
from jaxrestore import methods
from jaxrestore.methods import Evaluations


class Compared(NamedTuple):
    """A method with all of its settings but one."""

    method: str  # of `jaxrestore.METHODS`
    setting: str  # the one that is chosen
    values: tuple[float, ...]  # to choose from
    settings: Mapping[str, Any]  # the others
    tied: Callable[[Any], Mapping[str, Any]] = lambda value: {}  # those that move with the chosen one

    def build(self, value: Any) -> jr.Sampler:
        """The sampler with a value of the setting."""
        return methods.get(self.method).build(**self.settings, **self.tied(value), **{self.setting: value})

    @property
    def evaluations(self) -> Evaluations:
        """Of the prior, for one sample."""
        return methods.get(self.method).evaluations(self.settings)


EXACT = "exact"  # the name under which samples of the exact posterior stand beside the methods
_EDM = {"sigma_min": 0.005, "sigma_max": 20.0}
_SPGD = Compared(
    "spgd",
    "learning_rate",
    (0.1, 0.3, 0.6, 0.9, 1.4, 1.9),  # stable below 2
    {"num_steps": 100, "warmup_steps": 5, **_EDM},
)
_SCALES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
COMPARED: dict[str, Compared] = {
    "spgd": _SPGD,
    "spgd, no momentum": _SPGD._replace(settings={**_SPGD.settings, "momentum": 0.0}),
    "spgd, 20 warm-up steps": _SPGD._replace(settings={**_SPGD.settings, "warmup_steps": 20}),
    "dps": Compared("dps", "scale", _SCALES, {"num_steps": 500}),
    "dpps": Compared("dpps", "scale", _SCALES, {"num_steps": 500}),
    "diffpir": Compared("diffpir", "strength", (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), {"num_steps": 100, "zeta": 1.0}),
    "ddnm": Compared("ddnm", "eta", (0.05, 0.1, 0.2, 0.5, 0.7, 1.0), {"num_steps": 100}),
    "ddrm": Compared("ddrm", "eta", (0.2, 0.5, 0.7, 0.85, 1.0), {"num_steps": 100}),
    "pigdm": Compared("pigdm", "scale", (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0), {"num_steps": 100}),
    "mmps": Compared("mmps", "scale", (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0), {"num_steps": 100, "solver_steps": 4}),
    "daps": Compared(
        "daps",
        "tau",
        (0.003, 0.01, 0.03, 0.1),
        {"num_steps": 200, "ode_steps": 5, "langevin_steps": 100, **_EDM},
        tied=lambda tau: {"learning_rate": tau**2},  # the published ratio
    ),
    "reddiff": Compared(
        "reddiff", "strength", (0.003, 0.01, 0.03, 0.1, 0.25, 1.0), {"num_steps": 500, "learning_rate": 0.02}
    ),
}
