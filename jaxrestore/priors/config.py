"""The configuration of the UNet, apart from the network so that it loads without Flax."""

import dataclasses

from jaxrestore import _checks


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """What fixes the network's parameters and arithmetic; hashable, and JSON when passed to `dataclasses.asdict`.

    Raises:
      ValueError: If a field is out of range, or the channels do not divide into groups and heads.
    """

    in_channels: int = 3
    out_channels: int = 3  # 2 * in_channels for a learned variance
    model_channels: int = 128  # what channel_mult multiplies; the time embedding has four times as many
    channel_mult: tuple[float, ...] = (1, 2, 4)  # times model_channels, one entry per level; 0.5 in ADM for 512 pixels
    num_res_blocks: int = 2  # per level
    attention_resolutions: tuple[int, ...] = ()  # down-sampling factors (1, 2, 4, ...) of levels with self-attention
    middle_attention: bool | None = None  # None: exactly when another level has attention
    num_heads: int = 1  # used when num_head_channels is None
    num_head_channels: int | None = None
    attention_order: str = "legacy"  # "legacy": (head, qkv, channel); "new": (qkv, head, channel)
    num_classes: int | None = None
    scale_shift_norm: bool = True  # FiLM; False adds the embedding instead
    resblock_updown: bool = True  # resample inside residual blocks; False: separate layers
    conv_resample: bool = True  # separate resampling layers have a convolution
    # Where strided convolutions pad: on "both" sides, or at the "end" (TensorFlow, diffusers).
    downsample_padding: str = "both"
    norm_groups: int = 32  # number of groups of every GroupNorm; must divide the channels of every level
    norm_eps: float = 1e-5
    timestep_scale: float = 1.0  # times t; 1e-3 turns 250 log(sigma) into the log(sigma) / 4 of NVIDIA's EDM networks
    frequency_shift: int = 0  # 1: the lowest frequency is exactly 1e-4 (DDPM in TensorFlow, diffusers)
    patch_size: int = 1  # space-to-depth at the input, depth-to-space at the output
    dtype: str = "float32"  # what convolutions and attention compute in; norms and the output stay float32
    remat: bool = False  # recompute each block in the backward pass: less memory, one more forward pass

    def __post_init__(self) -> None:
        for name in ("channel_mult", "attention_resolutions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        counts = ("in_channels", "out_channels", "model_channels", "num_res_blocks", "num_heads", "patch_size")
        for name in (*counts, "norm_groups"):
            _checks.at_least(name, getattr(self, name), 1)
        for name in ("norm_eps", "timestep_scale"):
            _checks.positive(name, getattr(self, name))
        _checks.within("frequency_shift", self.frequency_shift, 0, 1)
        if not self.channel_mult:
            raise ValueError("channel_mult is empty, expected one factor per level, e.g. (1, 2, 4)")
        if self.middle_attention is None:
            object.__setattr__(self, "middle_attention", bool(self.attention_resolutions))
        _checks.one_of("downsample_padding", self.downsample_padding, ("both", "end"))
        _checks.one_of("attention_order", self.attention_order, ("legacy", "new"))
        _checks.one_of("dtype", self.dtype, ("float32", "bfloat16", "float16"))
        levels = [2**i for i in range(len(self.channel_mult))]
        if unknown := set(self.attention_resolutions) - set(levels):
            raise ValueError(f"attention_resolutions has {sorted(unknown)}, expected factors out of {levels}")
        for channels in self.widths:
            if channels % self.norm_groups:
                raise ValueError(
                    f"a level has {channels} channels ({self.model_channels} times one of {self.channel_mult}), which "
                    f"is no multiple of {self.norm_groups}, the group count"
                )
        attended = [self.widths[levels.index(f)] for f in self.attention_resolutions]
        for channels in attended + ([self.widths[-1]] if self.middle_attention else []):
            if channels % (self.num_head_channels or self.num_heads):
                raise ValueError(
                    f"{channels} channels do not divide into heads (num_heads={self.num_heads}, "
                    f"num_head_channels={self.num_head_channels})"
                )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(int(mult * self.model_channels) for mult in self.channel_mult)

    @property
    def stride(self) -> int:
        """Image sides divisible by this need no padding."""
        return self.patch_size * 2 ** (len(self.channel_mult) - 1)
