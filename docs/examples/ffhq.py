"""Convert FFHQ's network and run a paper's table.

The papers' network for faces, `ffhq_10m.pt` of the DPS repository (93.6 M parameters), is downloaded from where its
authors publish it, and converted once:

```sh
jaxrestore convert guided-diffusion ffhq_10m.pt --preset ffhq256 --out priors/ffhq256 --verify
```

The rest needs pictures of faces, 256x256, and a GPU: on two CPU cores one picture by SPGD takes 40 minutes.
"""

import pathlib

import jax
import numpy as np

import jaxrestore as jr
from jaxrestore import evaluation

FACES = pathlib.Path("faces")  # 100 pictures, as in the papers
SIZE = 256  # small: 32
TASKS = ("super_resolution", "inpainting_random", "gaussian_deblur")  # small: ("super_resolution",)
METHODS = ("spgd", "dpps", "dps")  # small: ("dps",)
CHANGES = {}  # small: {"num_steps": 4}

# %%
# `published` are the settings of the papers and their codes. The network computes in bfloat16 on a GPU.
prior = jr.load_prior("priors/ffhq256")
truths = np.stack([jr.images.centre(jr.images.load(path), SIZE) for path in jr.images.find(FACES)])
print(f"{len(truths)} pictures; PSNR, SSIM, LPIPS")
for name in TASKS:
    task = jr.task(name, image_shape=truths.shape[1:], key=jax.random.key(0))
    for method in METHODS:
        sampler = task.sampler(method, "published", **CHANGES)
        result = evaluation.evaluate(
            sampler, prior, task.degradation, truths, key=jax.random.key(1), batch_size=8, progress=True
        )
        scores = evaluation.mean_scores(result.scores)
        print(f"{name:18} {method:6} {scores.psnr:6.2f} {scores.ssim:6.3f} {scores.lpips:6.3f}")

# %%
# Papers differ in what they call LPIPS (AlexNet or VGG, on which range) and PSNR (of the mean error or the mean of
# the pictures' PSNR), and in the resizing of super-resolution: [Conventions](../decisions/conventions.md) says what
# is done here. The same on the command line, with a page to look at:
#
# ```sh
# jaxrestore evaluate faces/ --task super_resolution --prior priors/ffhq256 --method spgd --settings published \
#   --report spgd.html
# ```
