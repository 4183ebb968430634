"""Run by `test_embedding.py` in a process with two virtual devices; fails where gradients under `shard_map` differ."""

import jax
import jax.numpy as jnp
import numpy as np
from conftest import smallest_network
from jax.sharding import Mesh, PartitionSpec


def main() -> None:
    """Gradients for images, one on each device, and for the parameters, the same on both."""
    prior = smallest_network(attention_resolutions=(1,))
    x = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    whole, split = PartitionSpec(), PartitionSpec("batch")

    def gradients(prior, x):
        loss = lambda prior, x: jnp.sum(jnp.square(jax.vmap(lambda x: prior.denoise(x, 0.5))(x)))  # noqa: E731
        return jax.grad(loss, argnums=(0, 1))(prior, x)

    mesh = Mesh(np.array(jax.devices()), ("batch",))
    sharded = jax.shard_map(gradients, mesh=mesh, in_specs=(whole, split), out_specs=(whole, split))
    expected, found = jax.jit(gradients)(prior, x), jax.jit(sharded)(prior, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), expected, found)


if __name__ == "__main__":
    main()
