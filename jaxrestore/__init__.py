"""Diffusion-based image restoration as pure JAX functions."""

from jaxrestore import analysis as analysis
from jaxrestore import images as images
from jaxrestore import metrics as metrics
from jaxrestore import operators as operators
from jaxrestore import parallel as parallel
from jaxrestore import priors as priors
from jaxrestore import samplers as samplers
from jaxrestore import schedules as schedules
from jaxrestore import tuning as tuning
from jaxrestore.degradation import Degradation as Degradation
from jaxrestore.methods import METHODS as METHODS
from jaxrestore.methods import Method as Method
from jaxrestore.noise import GaussianNoise as GaussianNoise
from jaxrestore.noise import NoNoise as NoNoise
from jaxrestore.noise import PoissonNoise as PoissonNoise
from jaxrestore.priors import load_prior as load_prior
from jaxrestore.priors import save_prior as save_prior
from jaxrestore.restore import DivergenceError as DivergenceError
from jaxrestore.restore import PosteriorStatistics as PosteriorStatistics
from jaxrestore.restore import posterior_statistics as posterior_statistics
from jaxrestore.restore import restore as restore
from jaxrestore.restore import restore_batches as restore_batches
from jaxrestore.samplers import Sampler as Sampler
from jaxrestore.samplers import SampleResult as SampleResult
from jaxrestore.samplers import adaptive_directional_momentum as adaptive_directional_momentum
from jaxrestore.samplers import coarse_to_fine as coarse_to_fine
from jaxrestore.samplers import daps as daps
from jaxrestore.samplers import ddnm as ddnm
from jaxrestore.samplers import ddpg as ddpg
from jaxrestore.samplers import ddrm as ddrm
from jaxrestore.samplers import diffpir as diffpir
from jaxrestore.samplers import dpps as dpps
from jaxrestore.samplers import dps as dps
from jaxrestore.samplers import mean_of as mean_of
from jaxrestore.samplers import mmps as mmps
from jaxrestore.samplers import pigdm as pigdm
from jaxrestore.samplers import pspgd as pspgd
from jaxrestore.samplers import reddiff as reddiff
from jaxrestore.samplers import repaint as repaint
from jaxrestore.samplers import spgd as spgd
from jaxrestore.storage.weights import WeightsError as WeightsError
from jaxrestore.tasks import TASKS as TASKS
from jaxrestore.tasks import Task as Task
from jaxrestore.tasks import task as task

__version__ = "0.1.0"
