"""Priors: what images look like, as denoisers."""

from jaxrestore.priors._base import Prediction as Prediction
from jaxrestore.priors._base import Prior as Prior
from jaxrestore.priors.checkpoint import PriorError as PriorError
from jaxrestore.priors.checkpoint import bundled_priors as bundled_priors
from jaxrestore.priors.checkpoint import load_prior as load_prior
from jaxrestore.priors.checkpoint import save_prior as save_prior
from jaxrestore.priors.config import UNetConfig as UNetConfig
from jaxrestore.priors.ensemble import SelfEnsemble as SelfEnsemble
from jaxrestore.priors.markov import ChainPosterior as ChainPosterior
from jaxrestore.priors.markov import MarkovChainPrior as MarkovChainPrior
from jaxrestore.priors.markov import gaussian_steps as gaussian_steps
from jaxrestore.priors.markov import laplace_steps as laplace_steps
from jaxrestore.priors.markov import sparse_steps as sparse_steps
from jaxrestore.priors.markov import student_steps as student_steps
from jaxrestore.priors.markov_gibbs import gibbs as gibbs
from jaxrestore.priors.markov_gibbs import r_hat as r_hat
from jaxrestore.priors.mixture import GaussianMixture as GaussianMixture
from jaxrestore.priors.network import NetworkPrior as NetworkPrior
from jaxrestore.priors.tiled import TiledPrior as TiledPrior
