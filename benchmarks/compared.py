"""The methods that `benchmarks.posterior` compares: which of their settings is tuned, and what the others are."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jaxrestore as jr
from jaxrestore import methods
from jaxrestore.methods import Evaluations
from jaxrestore.operators import Operator


class Compared(NamedTuple):
    """A method with all of its settings but one."""

    method: str  # of `jaxrestore.METHODS`
    setting: str | None  # the one that is chosen; None where there is nothing to choose
    values: tuple[float | None, ...]  # to choose from
    settings: Mapping[str, Any]  # the others
    tied: Callable[[Any], Mapping[str, Any]] = lambda value: {}  # those that move with the chosen one
    make: Callable[..., jr.Sampler] | None = None  # of all settings, in place of the method's own factory
    by_default: bool = True  # whether it is compared unless others are asked for

    def build(self, value: Any) -> jr.Sampler:
        """The sampler with a value of the setting."""
        chosen = {} if self.setting is None else {self.setting: value}
        make = methods.get(self.method).build if self.make is None else self.make
        return make(**self.settings, **self.tied(value), **chosen)

    def refusal(self, operator: Operator) -> str | None:
        """Why the method cannot treat an operator, or None."""
        return methods.get(self.method).refusal(operator)

    @property
    def evaluations(self) -> Evaluations:
        """Of the prior, for one sample."""
        return methods.get(self.method).evaluations(self.settings)


def _two_grids(
    *, evaluations: int, detail: float, sigma_max: float, sigma_min: float, learning_rate: Any
) -> jr.Sampler:
    """PSPGD with the first half of its evaluations on every second sample."""
    shared = {"evaluations": evaluations // 2, "detail": detail, "learning_rate": learning_rate}
    coarse = jr.pspgd(**shared, sigma_max=sigma_max, sigma_min=0.3)
    return jr.coarse_to_fine(coarse, lambda start: jr.pspgd(**shared, sigma_max=0.3, sigma_min=sigma_min, start=start))


EXACT = "exact"  # the name under which samples of the exact posterior stand beside the methods
_EDM = {"sigma_min": 0.005, "sigma_max": 20.0}
_SPGD = Compared(
    "spgd",
    "learning_rate",
    (0.1, 0.3, 0.6, 0.9, 1.4, 1.9),  # stable below 2
    {"num_steps": 100, "warmup_steps": 5, **_EDM},
)
# Many levels: few of them aim at the posterior mean.
_PSPGD = Compared(
    "pspgd", "learning_rate", (0.1, 0.2, 0.3, 0.6, 1.0, 2.0, 3.0), {"evaluations": 96, "detail": 1.0, **_EDM}
)
_SCALES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_DPPS = Compared("dpps", "scale", _SCALES, {"num_steps": 500})
_PDPPS = Compared("pdpps", "scale", (0.1, 0.2, 0.5, 1.0, 2.0, 5.0), {"num_steps": 100})


def _ablated(compared: Compared) -> dict[str, Compared]:
    """DPPS's two ideas each alone, and without both."""
    alone = {"selection alone": {"aligned": False}, "aligned start alone": {"n_max": 1}}
    parts = {**alone, "neither idea": {"aligned": False, "n_max": 1}}
    return {
        f"{compared.method}, {words}": compared._replace(settings={**compared.settings, **part}, by_default=False)
        for words, part in parts.items()
    }


COMPARED: dict[str, Compared] = {
    "spgd": _SPGD,
    "spgd, no momentum": _SPGD._replace(settings={**_SPGD.settings, "momentum": 0.0}, by_default=False),
    "spgd, 20 warm-up steps": _SPGD._replace(settings={**_SPGD.settings, "warmup_steps": 20}, by_default=False),
    "pspgd": _PSPGD,
    "coarse_to_fine": _PSPGD._replace(make=_two_grids),
    "dps": Compared("dps", "scale", _SCALES, {"num_steps": 500}),
    "dpps": _DPPS,
    **_ablated(_DPPS),
    "pdpps": _PDPPS,
    **_ablated(_PDPPS),
    "diffpir": Compared("diffpir", "strength", (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), {"num_steps": 100, "zeta": 1.0}),
    "ddnm": Compared("ddnm", "eta", (0.05, 0.1, 0.2, 0.5, 0.7, 1.0), {"num_steps": 100}),
    "ddpg": Compared("ddpg", "ridge", (0.3, 0.7, 1.0, 2.0, 5.0), {"num_steps": 100, "zeta": 1.0}),
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
    "repaint": Compared("repaint", None, (None,), {"num_steps": 100, "jump_length": 10, "jump_repeats": 2}),
}
