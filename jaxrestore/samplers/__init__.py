"""Posterior samplers: one module and one factory for each method."""

from jaxrestore.samplers._base import Recording as Recording
from jaxrestore.samplers._base import Sampler as Sampler
from jaxrestore.samplers._base import SampleResult as SampleResult
from jaxrestore.samplers.dpps import dpps as dpps
from jaxrestore.samplers.dps import dps as dps
from jaxrestore.samplers.momentum import adaptive_directional_momentum as adaptive_directional_momentum
from jaxrestore.samplers.spgd import spgd as spgd
