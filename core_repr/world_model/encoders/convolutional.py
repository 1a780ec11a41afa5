"""The observation encoder f: frames → x (Table 4)."""

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.config import EncoderConfig, SharedEncoderConfig
from core_repr.world_model.encoders.gate import Gate
from core_repr.world_model.layers import delta_orthogonal_, orthogonal_linear

LEAST_CONTRAST = 0.05 * 255
"""Added to a standardised frame's standard deviation, so that a plain frame stays plain."""

MINUS_INFINITY = -128
"""Bits of bfloat16's −∞ as a whole number: other negative numbers are below it, NaNs above."""


class Encoder(nn.Module):
    """Convolutions with ReLU, a linear layer and LayerNorm without affine.

    Args:
        config: Sizes and strides.
        side: Side in pixels of the square frames.

    Attributes:
        frame_stack: Frames that are joined along their channels.
        gate: The gating network; ``None`` where there is none.
    """

    def __init__(self, config: EncoderConfig | SharedEncoderConfig, side: int) -> None:
        super().__init__()
        self.pixel_scaling = config.pixel_scaling
        self.frame_stack = config.frame_stack
        gain = nn.init.calculate_gain("relu")
        layers: list[nn.Module] = []
        channels = 3 * config.frame_stack
        paddings = config.paddings or (0,) * len(config.filters)
        for filters, stride, padding in zip(config.filters, config.strides, paddings, strict=True):
            convolution = nn.Conv2d(channels, filters, config.kernel_size, stride, padding)
            if config.delta_orthogonal:
                delta_orthogonal_(convolution.weight, gain)
            else:
                nn.init.orthogonal_(convolution.weight, gain)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            layers += [convolution, nn.ReLU(inplace=True)]
            channels = filters
        self.convolutions = nn.Sequential(*layers)
        self.linear = orthogonal_linear(channels * config.sides(side)[-1] ** 2, config.output_size)
        self.norm = nn.LayerNorm(config.output_size, elementwise_affine=False)
        self.gate = None if config.gate is None else Gate(config.gate)

    def forward(self, frames: UInt8[Tensor, "n side side channels"]) -> Float[Tensor, "n x"]:
        """Returns the encodings x in float32, each of mean 0 and variance 1."""
        x: Tensor = self.norm(_apply(self.linear, self.convolve(frames)).float())
        return x

    def convolve(self, frames: UInt8[Tensor, "n side side channels"]) -> Float[Tensor, "n c h w"]:
        """Returns what the last convolution gives."""
        features = self._first(frames.to(self.linear.weight.dtype))
        _, *others = self.convolutions
        for layer in others:
            if isinstance(layer, nn.ReLU) and _is_bfloat16_on_cpu(features):
                features = _ReLU.apply(features)
            else:
                features = layer(features)
        return features

    def _first(self, pixels: Float[Tensor, "n side side channels"]) -> Float[Tensor, "n c h w"]:
        """Scales pixels and runs the first convolution over them.

        The scaling to [0, 1] or [−0.5, 0.5] is folded into the convolution: a pass or two over
        all pixels less, and bfloat16 holds whole numbers up to 255 exactly.
        """
        first = self.convolutions[0]
        assert isinstance(first, nn.Conv2d) and first.bias is not None
        if self.gate is not None:
            gated: Tensor = first(self._gated(pixels).permute(0, 3, 1, 2))
            return gated
        if self.pixel_scaling == "standardized":
            result: Tensor = first(_standardize(pixels).permute(0, 3, 1, 2))
            return result
        channels_first = pixels.permute(0, 3, 1, 2)
        bias, padding = first.bias, int(first.padding[0])
        if self.pixel_scaling == "centered":
            bias = bias - 0.5 * first.weight.sum((1, 2, 3))
            if padding:
                # What the scaling takes to the zeros of the padding.
                channels_first, padding = F.pad(channels_first, 4 * (padding,), value=255 / 2), 0
        return F.conv2d(channels_first, first.weight / 255, bias, first.stride[0], padding)

    def _gated(
        self, pixels: Float[Tensor, "n side side channels"]
    ) -> Float[Tensor, "n side side channels"]:
        """Scales pixels and multiplies each frame by its mask."""
        assert self.gate is not None
        stacked = self._scaled(pixels).unflatten(-1, (self.frame_stack, 3)).movedim(-2, 1)
        frames = stacked.flatten(0, 1)
        gated: Tensor = (self.gate(frames) * frames).view_as(stacked)
        return gated.movedim(1, -2).flatten(-2)

    def _scaled(
        self, pixels: Float[Tensor, "n side side channels"]
    ) -> Float[Tensor, "n side side channels"]:
        if self.pixel_scaling == "standardized":
            return _standardize(pixels)
        return pixels / 255 - (0.5 if self.pixel_scaling == "centered" else 0.0)

    def mask(self, frames: UInt8[Tensor, "n side side channels"]) -> Float[Tensor, "n side side"]:
        """Returns the gating network's mask of each frame; of stacked ones, of the newest.

        Raises:
            ValueError: If there is no gating network.
        """
        if self.gate is None:
            raise ValueError(
                "The model has no gating network; train one with it, such as the variant 'gated'."
            )
        pixels = self._scaled(frames.to(self.linear.weight.dtype))
        mask: Tensor = self.gate(pixels[..., -3:]).squeeze(-1)
        return mask


def _apply(layer: nn.Linear, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n x"]:
    """Applies a linear layer; of features and weights, the fewer are turned around.

    Convolutions return the channels last in memory, the weights have them first.
    """
    weight = layer.weight
    if len(features) <= len(weight):
        return F.linear(features.flatten(1), weight, layer.bias)
    channels_last = weight.unflatten(1, features.shape[1:]).permute(0, 2, 3, 1)
    features = features.permute(0, 2, 3, 1)
    return F.linear(features.flatten(1), channels_last.flatten(1), layer.bias)


class SharedEncoder(Encoder):
    """Convolutions that critics and actor share, each with a linear layer and LayerNorm of its own.

    Args:
        config: Sizes and strides.
        side: Side in pixels of the square frames.
    """

    def __init__(self, config: SharedEncoderConfig, side: int) -> None:
        super().__init__(config, side)
        size = config.output_size
        self.norm = nn.LayerNorm(size)
        self._has_actor, self._tanh = config.actor, config.tanh
        if config.actor:
            self.actor_linear = orthogonal_linear(self.linear.in_features, size)
            self.actor_norm = nn.LayerNorm(size)

    def forward(self, frames: UInt8[Tensor, "n side side channels"]) -> Float[Tensor, "n x"]:
        """Returns the critics' encoding and the actor's, if there is one, joined, in float32."""
        return self.heads(self.convolve(frames))

    def heads(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n x"]:
        """Returns the encodings of what the last convolution gave.

        No gradient goes from the actor's into the convolutions.
        """
        x: Tensor = self.norm(_apply(self.linear, features).float())
        x = x.tanh() if self._tanh else x
        return torch.cat([x, self.of_actor(features.detach())], -1) if self._has_actor else x

    def of_actor(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n x"]:
        """Returns the actor's encodings of what the last convolution gave."""
        x: Tensor = self.actor_norm(_apply(self.actor_linear, features).float())
        return x.tanh() if self._tanh else x

    @property
    def actor_parameters(self) -> dict[str, nn.Parameter]:
        """Name → parameter of what the actor has of its own."""
        named = self.named_parameters()
        return {name: parameter for name, parameter in named if name.startswith("actor_")}


class _ReLU(torch.autograd.Function):
    """ReLU in place of bfloat16 numbers as whole numbers, which have the same order.

    PyTorch's own widens each number to float32 and rounds it back, and takes four times as long.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        """Sets what is below zero to zero; NaN stays."""
        F.threshold(features.view(torch.int16), MINUS_INFINITY, 0, inplace=True)
        ctx.mark_dirty(features)
        ctx.save_for_backward(features)
        return features

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Lets the gradient pass where the result is above zero."""
        (result,) = ctx.saved_tensors
        passed: Tensor = torch.ops.aten.threshold_backward(gradients[0], result, 0)
        return passed


def _is_bfloat16_on_cpu(features: Tensor) -> bool:
    return features.dtype == torch.bfloat16 and features.device.type == "cpu"


def _standardize(
    pixels: Float[Tensor, "n side side channels"],
) -> Float[Tensor, "n side side channels"]:
    """Brings each frame, all channels together, to mean 0 and about variance 1, in place."""
    flat = pixels.flatten(1)
    flat -= flat.mean(1, keepdim=True)
    deviation = torch.linalg.vector_norm(flat, dim=1, keepdim=True) / flat.shape[1] ** 0.5
    flat /= deviation + LEAST_CONTRAST
    return pixels
