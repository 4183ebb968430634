"""Export a jitted sampler with `jax.export`, and run it elsewhere.

What is exported is a program, not Python: the other side needs JAX, and neither this library nor its source. JAX writes
and reads such files with `flatbuffers` (`pip install flatbuffers`).
"""

import pathlib

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr

SIZE = 64  # small: 16
STEPS = 20  # small: 2
prior = jr.load_prior("photo")
task = jr.task("super_resolution", image_shape=(SIZE, SIZE, 3), factor=2)
sampler = task.sampler("diffpir", num_steps=STEPS)

# %%
# Prior and degradation are pytrees of this library's classes, which the other side does not know. Their arrays are
# passed as a list: the network's weights stay an argument and are not baked into the program. So is the key, as
# plain numbers.
leaves, structure = jax.tree.flatten((prior, task.degradation))


def restore(key_data, leaves, y):
    """The key's data, the arrays of prior and degradation, and a measurement to an image."""
    prior, degradation = jax.tree.unflatten(structure, leaves)
    return sampler.sample(jax.random.wrap_key_data(key_data), prior, degradation, y).image


key_data = jax.random.key_data(jax.random.key(0))
y = jnp.zeros(task.degradation.measurement_shape)
arguments = jax.tree.map(lambda a: jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a)), (key_data, leaves, y))
exported = jax.export.export(jax.jit(restore), platforms=("cpu", "cuda", "tpu"))(*arguments)
pathlib.Path("sampler.bin").write_bytes(exported.serialize())
np.savez("arrays.npz", *map(np.asarray, leaves))

# %%
# Elsewhere, with JAX alone:
program = jax.export.deserialize(bytearray(pathlib.Path("sampler.bin").read_bytes()))
with np.load("arrays.npz") as stored:
    arrays = [jnp.asarray(stored[name]) for name in stored.files]
image = jax.jit(program.call)(key_data, arrays, y)

# %%
# It is the same program, so it gives the same picture.
here = jax.jit(restore)(key_data, leaves, y)
print(f"largest difference: {np.abs(image - here).max():.1e}")
size = pathlib.Path("sampler.bin").stat().st_size
print(f"the program has {size / 1e6:.1f} MB, the arrays {pathlib.Path('arrays.npz').stat().st_size / 1e6:.1f} MB")
