"""How close restored images are to the truth: PSNR, SSIM and LPIPS of single images in [-1, 1], FID of sets of them.

Values are used as they are: clip to [-1, 1], or round to 8 bits, before comparing with published figures.
"""

from jaxrestore.metrics.distortion import psnr as psnr
from jaxrestore.metrics.distortion import ssim as ssim
from jaxrestore.metrics.fid import FeatureStatistics as FeatureStatistics
from jaxrestore.metrics.fid import fid as fid
from jaxrestore.metrics.fid import frechet_distance as frechet_distance
from jaxrestore.metrics.inception import InceptionParams as InceptionParams
from jaxrestore.metrics.inception import inception_features as inception_features
from jaxrestore.metrics.inception import load_inception as load_inception
from jaxrestore.metrics.inception import save_inception as save_inception
from jaxrestore.metrics.perceptual import LPIPSParams as LPIPSParams
from jaxrestore.metrics.perceptual import load_lpips as load_lpips
from jaxrestore.metrics.perceptual import lpips as lpips
from jaxrestore.metrics.perceptual import save_lpips as save_lpips
