"""Which steps of a discrete process are visited, and in what order."""

import numpy as np

from jaxrestore import _checks

SPACINGS = ("linspace", "leading", "quadratic")


def kept_timesteps(num_steps: int, base_steps: int, spacing: str) -> np.ndarray:
    """(num_steps,), int64: which of `base_steps` steps are kept, the least noisy first.

    Raises:
      ValueError: If the spacing is unknown, or would keep a step twice.
    """
    _checks.one_of("spacing", spacing, SPACINGS)
    if spacing == "leading":
        return np.arange(num_steps, dtype=np.int64) * (base_steps // num_steps)
    if spacing == "quadratic":
        # Counted from the noisiest; the last of them, which falls on base_steps, counts as the step before.
        places = np.sqrt(np.linspace(0, base_steps**2, num_steps)).astype(np.int64)
        timesteps = base_steps - 1 - np.minimum(places, base_steps - 1)[::-1]
        if len(np.unique(timesteps)) < num_steps:
            raise ValueError(
                f"num_steps is {num_steps}, expected at most half of the {base_steps} steps that there are: quadratic "
                "spacing would keep some of them twice"
            )
        return timesteps
    stride = (base_steps - 1) / (num_steps - 1) if num_steps > 1 else 1.0
    # Summed step by step, not multiplied: rounding then falls on the same timesteps as in the published code.
    positions = np.cumsum(np.append(0.0, np.full(num_steps - 1, stride)))
    return np.array([round(p) for p in positions], dtype=np.int64)


def time_travel(num_steps: int, *, length: int, repeats: int) -> np.ndarray:
    """The steps of a reverse process that goes back to more noise again and again.

    Every `length` steps the process returns over that distance and walks it anew, until it has walked it `repeats`
    times: parts of the image that were drawn apart get the time to agree.

    Args:
      num_steps: Steps of the schedule, at least 1.
      length: Steps of each return, at least 1.
      repeats: How often each stretch is walked; 1 never returns.

    Returns:
      (M,), int64: the index t of each reverse step in turn, from num_steps - 1 down to 0, M >= num_steps.

    References:
      Lugmayr et al., RePaint: Inpainting Using Denoising Diffusion Probabilistic Models, CVPR 2022 (arXiv 2201.09865),
      section 4.2 ("jump length" and "resampling"); DDNM's "time-travel" is the same walk.
    """
    _checks.at_least("num_steps", num_steps, 1)
    _checks.at_least("length", length, 1)
    _checks.at_least("repeats", repeats, 1)
    _checks.countable("num_steps times repeats", num_steps * repeats)
    returns_left = dict.fromkeys(range(0, num_steps - length, length), repeats - 1)
    walk, t = [], num_steps - 1
    while t >= 0:
        walk.append(t)
        t -= 1
        if returns_left.get(t, 0) > 0:
            returns_left[t] -= 1
            t += length
    return np.array(walk, dtype=np.int64)
