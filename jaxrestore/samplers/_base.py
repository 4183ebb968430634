"""What a sampler is: two pure functions and a length, and one runner for all of them."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxrestore import _checks
from jaxrestore._numerics import like
from jaxrestore.degradation import Degradation
from jaxrestore.priors._base import Prior


class SamplerState(Protocol):
    """What every sampler's state has; methods add what their next step needs. A `NamedTuple` of arrays.

    `index` and nothing else is the same for all images of a batch, so loops whose length depends on it stay loops
    under `jax.vmap`.
    """

    @property
    def x(self) -> jax.Array: ...  # (H, W, C), the noisy image; after the last step, the answer
    @property
    def x0(self) -> jax.Array: ...  # (H, W, C), the last denoised estimate
    @property
    def index(self) -> jax.Array: ...  # (), int32, steps taken
    @property
    def key(self) -> jax.Array: ...  # (), constant; step i draws from fold_in(key, i)


class InitFn(Protocol):
    def __call__(self, key: jax.Array, prior: Prior, degradation: Degradation, y: jax.Array, /) -> Any: ...


class StepFn(Protocol):
    def __call__(self, state: Any, prior: Prior, degradation: Degradation, y: jax.Array, /) -> tuple[Any, Any]: ...


class Recording(NamedTuple):
    """Every k-th moment of a run; M of them."""

    x: jax.Array  # (M, H, W, C), states
    x0: jax.Array  # (M, H, W, C), denoised estimates
    index: jax.Array  # (M,), int32, steps taken by then


class SampleResult(NamedTuple):
    """What a sampler returns for one image."""

    image: jax.Array  # (H, W, C), about [-1, 1], not clipped
    info: Any  # the method's diagnostics, each with a leading axis of num_steps
    recording: Recording | None = None


class Sampler(NamedTuple):
    """A posterior sampler: `init` makes a state, `step` advances it by one noise level, `num_steps` times.

    Pure functions of one image. For batches use `jax.vmap(sampler.sample, in_axes=(0, None, None, 0))`, or
    `jaxrestore.restore`, which adds progress, memory bounds and divergence checks.

    Samplers of one factory and equal settings are equal, so that `jaxrestore.restore` compiles once for all of them,
    and can be pickled; those of your own are if their factory is decorated with `samplers.remembered`.
    """

    init: InitFn  # (key, prior, degradation, y) -> state
    step: StepFn  # (state, prior, degradation, y) -> (state, info)
    num_steps: int

    def sample(
        self,
        key: jax.Array,
        prior: Prior,
        degradation: Degradation,
        y: jax.Array,
        *,
        record_every: int | None = None,
    ) -> SampleResult:
        """Restore one image: one `lax.scan` over the steps, so compile time does not depend on their number.

        Args:
          key: Source of all random draws; the same key gives the same result in any batch.
          prior: What images look like.
          degradation: How `y` was measured.
          y: One measurement, `degradation.measurement_shape`. Its dtype is that of the run and of the image: float32,
            or float64 under `jax_enable_x64`; narrower ones are widened to float32.
          record_every: Keep state and estimate after every so many steps; memory grows with their number.

        Returns:
          The image and per-step diagnostics.

        Raises:
          ValueError: If `y` has another shape than the degradation's measurements, or `record_every` is out of range.
          TypeError: If `y` is no floating array, or the method cannot treat the degradation's operator.
        """
        _checks.array("y", y, degradation.measurement_shape)
        if record_every is not None:
            _checks.at_least("record_every", record_every, 1)
            if record_every > self.num_steps:
                raise ValueError(f"record_every is {record_every}, expected at most num_steps = {self.num_steps}")
        y = degradation.relevant(jnp.asarray(y, run_dtype(y)))
        state = self.init(key, prior, degradation, y)
        if record_every is None:
            state, info = self.advance(state, prior, degradation, y, self.num_steps)
            return SampleResult(state.x, info)

        def piece(state: Any, _: None) -> tuple[Any, tuple[Any, Recording]]:
            state, info = self.advance(state, prior, degradation, y, record_every)
            return state, (info, Recording(state.x, state.x0, state.index))

        pieces, rest = divmod(self.num_steps, record_every)
        state, (info, recording) = jax.lax.scan(piece, state, length=pieces)
        info = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), info)
        state, last = self.advance(state, prior, degradation, y, rest)
        info = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), info, last)
        return SampleResult(state.x, info, recording)

    def advance(self, state: Any, prior: Prior, degradation: Degradation, y: jax.Array, steps: int) -> tuple[Any, Any]:
        """`steps` steps from a state, for runs in pieces; two halves equal one run.

        Returns:
          The state after them, and their diagnostics with a leading axis of `steps`.
        """

        def body(state: Any, _: None) -> tuple[Any, Any]:
            return self.step(state, prior, degradation, y)

        return jax.lax.scan(body, state, length=steps)


def run_dtype(y: Any) -> Any:
    """Of the states and images made from measurements: theirs, but at least float32."""
    return jnp.result_type(y.dtype, jnp.float32)


def falling(
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    least_share: jax.typing.ArrayLike,
    index: jax.Array,
    num_steps: int,
) -> jax.Array:
    """A step size that falls linearly towards a share of itself, at one of the steps, in the dtype of x."""
    return like(x, rate) * (1.0 + index.astype(x.dtype) / num_steps * (like(x, least_share) - 1.0))


def batch_axes(state: Any) -> Any:
    """Vmap axes of a sampler's state: all images share the step index, so it stays unbatched."""
    return type(state)(*[None if field == "index" else 0 for field in state._fields])
