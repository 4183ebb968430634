"""Run by `test_parallel.py` in a process with eight virtual devices; writes results to the file it is given."""

import logging
import sys

import jax
import jax.numpy as jnp
import numpy as np
from conftest import isotropic, smallest_network

import jaxrestore as jr
from jaxrestore import parallel

SHAPE = (16, 16, 3)


def main(out: str) -> None:
    """Restore the same images on one device and on eight, in the ways that the tests compare."""
    key, results = jax.random.key(0), {}
    mesh, prior = parallel.batch_mesh(), smallest_network(attention_resolutions=(1,))
    blur = jr.Degradation(jr.operators.GaussianBlur(SHAPE, 5, 1.0), jr.GaussianNoise(0.05))
    ys = np.asarray(jax.random.uniform(jax.random.key(1), (11, *SHAPE), minval=-1))

    def on(name, *arguments, **settings):
        for where, devices in (("one", None), ("eight", mesh)):
            results[f"{name}/{where}"] = jr.restore(*arguments, key=key, mesh=devices, **settings)

    spgd = jr.spgd(num_steps=3, warmup_steps=2, learning_rate=0.3)
    compiled: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: compiled.append(record.getMessage())
    logging.getLogger("jax").addHandler(handler)
    with jax.log_compiles():
        on("spgd", spgd, prior, blur, ys, batch_size=8)
    logging.getLogger("jax").removeHandler(handler)
    results["programs"] = np.array(sum(m.startswith("Compiling") and "_advance" in m for m in compiled))
    on("dpps", jr.dpps(num_steps=3, n_max=6), isotropic(SHAPE), blur, ys, batch_size=3)
    on("samples", jr.mean_of(jr.dps(num_steps=3), 2), isotropic(SHAPE), blur, ys, num_samples=2)
    masks = jax.vmap(lambda k: jr.operators.random_mask(k, SHAPE, 0.5))(jax.random.split(key, 11))
    holes = jr.Degradation(jr.operators.Inpainting(masks), jr.GaussianNoise(jnp.full(11, 0.05)))
    on("own_masks", spgd, isotropic(SHAPE), holes, ys, batched_degradation=True)

    split = parallel.split_params(prior, mesh)
    results["split/eight"] = jr.restore(spgd, split, blur, ys, key=key, mesh=mesh)
    results["split/one"] = results["spgd/one"]
    sizes = [sum(a.addressable_shards[0].data.size for a in p.params.values()) for p in (prior, split)]
    results["share_of_params"] = np.array(sizes[1] / sizes[0])
    results["kept_where_it_was"] = np.array(parallel.place_prior(split, mesh) is split)
    results["whole"] = np.array(
        all(a.sharding.is_fully_replicated for a in jax.tree.leaves(parallel.place_prior(prior, mesh)))
    )

    keys, y = parallel.split_batch((jax.random.split(key, 8), ys[:8]), mesh)
    arguments = (keys, *parallel.replicate((prior, blur), mesh), y)
    batched = jax.jit(jax.vmap(lambda *a: spgd.sample(*a).image, in_axes=(0, None, None, 0)))
    program = batched.lower(*arguments).compile().as_text()
    words = ("all-gather(", "all-reduce(", "all-to-all(", "collective-permute(")
    results["messages"] = np.array(sum(program.count(w) for w in words))
    results["devices"] = np.array(jax.device_count())
    np.savez(out, **results)


if __name__ == "__main__":
    main(sys.argv[1])
