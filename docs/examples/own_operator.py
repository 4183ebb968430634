"""Write your own operator, and use it in all methods.

An operator is a function of one image. Linear ones get their adjoint and inverses from the function itself; those
that are not linear need a derivative only, which JAX takes.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from jaxrestore import methods

SIZE = 64  # small: 16
STEPS = 40  # small: 2
PHOTO = pathlib.Path(jr.__file__).parent / "photographs" / "coffee.png"
photo = jr.images.resize(jr.images.centre(jr.images.load(PHOTO)), (SIZE, SIZE))
shape = photo.shape

# %%
# **Demosaicing.** A camera's sensor sees one colour at each pixel. The function takes the image and whatever arrays
# it uses: those become leaves of the operator, so that programs are not compiled anew for another pattern.
rows, columns = jnp.mgrid[:SIZE, :SIZE] % 2
bayer = jnp.stack([(rows + columns == 0), (rows + columns == 1), (rows + columns == 2)], -1).astype(jnp.float32)
sensor = jr.operators.Linear(lambda x, pattern: (x * pattern).sum(-1, keepdims=True), shape, bayer)

# %%
# **A blur that varies** over the picture: sharp on the left, blurred on the right. Whether the function is linear
# is checked when the operator is made.
blur = jr.operators.GaussianBlur(shape, 9, 1.5)
right = jnp.linspace(0, 1, SIZE)[:, None]
lens = jr.operators.Linear(lambda x, right: (1 - right) * x + right * blur(x), shape, right)

# %%
# **Not linear**: film that saturates. JPEG is one too, and there already: `jr.operators.JPEG(shape, quality=10)`.
film = jr.operators.Nonlinear(lambda x, gain: jnp.tanh(gain * x), shape, 2.0)

# %%
# Which methods can use them follows from what they need. None of them knows these operators by name.
operators = {"sensor": sensor, "lens": lens, "film": film}
for name, operator in operators.items():
    print(f"{name}: {', '.join(methods.able(operator))}")
print("ddrm", jr.METHODS["ddrm"].refusal(lens))

# %%
# And so they run. `pspgd` has no step size to choose; the others' weights would have to be tuned for a new operator
# (see [Tune settings in one program](tuning.md)).
prior = jr.load_prior("photo")
key_noise, key = jax.random.split(jax.random.key(0))
strips = []
for seen_by, operator in operators.items():
    degradation = jr.Degradation(operator, jr.GaussianNoise(0.02))
    y = degradation.measure(key_noise, photo)
    samplers = {"pspgd": jr.pspgd(evaluations=max(STEPS // 2, 4)), "mmps": jr.mmps(num_steps=STEPS)}
    if operator.linear:
        samplers["ddnm"] = jr.ddnm(num_steps=STEPS)
    images = [np.broadcast_to(y, shape)]
    for name, sampler in samplers.items():
        images.append(np.asarray(jax.jit(sampler.sample)(key, prior, degradation, y).image))
        print(f"{seen_by}, {name}: {jr.metrics.psnr(np.clip(images[-1], -1, 1), photo):.1f} dB")
    blank = [np.ones(shape, np.float32)] * (4 - len(images))  # where ddnm cannot
    strips.append(np.concatenate([*images, *blank, photo], axis=1))
jr.images.save("own_operator.jpg", np.concatenate(strips))

# %%
# A class of its own, with fields that have names, inherits from `jr.operators.OperatorBase`; a singular value
# decomposition, as a method `svd()`, opens `ddrm` and `repaint` too. [Contributing](../decisions/contributing.md)
# has an example.
