"""How close a restored image is to the truth: PSNR, SSIM and LPIPS, on single images in [-1, 1].

Values are used as they are: clip to [-1, 1], or round to 8 bits, before comparing with published figures.
"""

from jaxrestore.metrics.distortion import psnr as psnr
from jaxrestore.metrics.distortion import ssim as ssim
from jaxrestore.metrics.perceptual import LPIPSParams as LPIPSParams
from jaxrestore.metrics.perceptual import load_lpips as load_lpips
from jaxrestore.metrics.perceptual import lpips as lpips
from jaxrestore.metrics.perceptual import save_lpips as save_lpips
