"""Several devices and machines.

Batches are spread over the devices of a mesh; results do not depend on their number. On one CPU, virtual devices
show the same: start Python with `XLA_FLAGS=--xla_force_host_platform_device_count=8`.
"""

import jax
import jax.numpy as jnp
import numpy as np

import jaxrestore as jr
from jaxrestore import parallel

SIZE = 32  # small: 16
COUNT = 8  # small: 2
STEPS = 20  # small: 2
prior = jr.load_prior("photo")
task = jr.task("denoising", image_shape=(SIZE, SIZE, 3))
key_noise, key = jax.random.split(jax.random.key(0))
ys = task.degradation.measure(key_noise, jnp.zeros((SIZE, SIZE, 3))) * jnp.linspace(0.5, 1, COUNT)[:, None, None, None]

# %%
# Parameters are whole on each device, and no device waits for another; a network that would fill more than half of
# a device is spread over them too. The command line does this by itself.
sampler = task.sampler("ddnm", num_steps=STEPS)
mesh = parallel.batch_mesh()  # all devices of this process
images = jr.restore(sampler, prior, task.degradation, ys, key=key, batch_size=4, mesh=mesh)
alone = jr.restore(sampler, prior, task.degradation, ys, key=key, batch_size=4)
print(f"{mesh.size} devices, largest difference from one: {np.abs(images - alone).max():.1e}")

# %%
# **Large pictures** on one device: the network sees overlapping tiles, blended at every step, while the likelihood
# sees the whole picture. Memory is that of one tile and a few pictures.
tiled = jr.priors.TiledPrior(prior, tile=SIZE // 2, overlap=SIZE // 8)
in_tiles = jr.restore(sampler, tiled, task.degradation, ys[:1], key=key)
print(f"in tiles: {np.sqrt(np.mean((in_tiles - images[:1]) ** 2)):.3f} from the untiled picture")

# %%
# **Several machines** each take a share of a folder, whatever has been done already. Every picture has the key of
# its place in the folder, so the results are those of one machine; after a stop the same commands with
# `--skip-existing` go on.
#
# ```sh
# jaxrestore restore folder/ -o restored/ --task denoising --share 0/2  # on the first
# jaxrestore restore folder/ -o restored/ --task denoising --share 1/2  # on the second
# ```
#
# `--share auto` asks SLURM or MPI instead. Where devices are only had together, as in a TPU pod, the processes join
# first: `--distributed auto`, or `--distributed 0/2@10.0.0.1:1234` and so on.
