"""Degradation operators: immutable pytrees called on one image (H, W, C)."""

from jaxrestore.operators._base import Operator as Operator
from jaxrestore.operators.blur import GaussianBlur as GaussianBlur
from jaxrestore.operators.blur import MotionBlur as MotionBlur
from jaxrestore.operators.blur import motion_kernel as motion_kernel
from jaxrestore.operators.dense import LinearMap as LinearMap
from jaxrestore.operators.enlarged import Enlarged as Enlarged
from jaxrestore.operators.fourier import PhaseRetrieval as PhaseRetrieval
from jaxrestore.operators.jpeg import JPEG as JPEG
from jaxrestore.operators.masking import Inpainting as Inpainting
from jaxrestore.operators.masking import box_mask as box_mask
from jaxrestore.operators.masking import random_mask as random_mask
from jaxrestore.operators.neural_blur import NonlinearBlur as NonlinearBlur
from jaxrestore.operators.neural_blur import load_nonlinear_blur as load_nonlinear_blur
from jaxrestore.operators.neural_blur import random_blur_code as random_blur_code
from jaxrestore.operators.pointwise import Colorization as Colorization
from jaxrestore.operators.pointwise import Denoising as Denoising
from jaxrestore.operators.pointwise import HighDynamicRange as HighDynamicRange
from jaxrestore.operators.resize import SuperResolution as SuperResolution
from jaxrestore.operators.spectral import SVD as SVD
from jaxrestore.operators.spectral import likelihood_score as likelihood_score
from jaxrestore.operators.spectral import proximal_step as proximal_step
from jaxrestore.operators.spectral import pseudo_inverse as pseudo_inverse
