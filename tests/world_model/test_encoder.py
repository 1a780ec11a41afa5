import math
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import nn

from core_repr.config import PRESETS, CoReConfig, EncoderConfig, GateConfig
from core_repr.world_model.encoders.convolutional import Encoder, _ReLU
from core_repr.world_model.encoders.gate import Gate


def random_frames(*batch: int, side: int) -> torch.Tensor:
    return torch.randint(256, (*batch, side, side, 3), dtype=torch.uint8)


@pytest.mark.parametrize("preset", PRESETS)
def test_encodings_are_normalised_whatever_the_preset(preset: str) -> None:
    sizes = PRESETS[preset]().world_model
    encoder = Encoder(sizes.encoder, sizes.crop_size)
    x = encoder(random_frames(3, side=sizes.crop_size))
    assert x.shape == (3, sizes.encoder.output_size) and x.dtype == torch.float32
    torch.testing.assert_close(x.mean(-1), torch.zeros(3), atol=1e-5, rtol=0)
    # LayerNorm divides by the root of the variance + 1e-5, so that it stays a little below 1.
    torch.testing.assert_close(x.var(-1, correction=0), torch.ones(3), atol=1e-2, rtol=0)


def test_preset_paper_has_the_encoder_of_table_4() -> None:
    sizes = PRESETS["paper"]().world_model
    encoder = Encoder(sizes.encoder, sizes.crop_size)
    convolutions = [module for module in encoder.convolutions if isinstance(module, nn.Conv2d)]
    assert [tuple(module.weight.shape) for module in convolutions] == [
        (32, 3, 3, 3),
        (32, 32, 3, 3),
        (32, 32, 3, 3),
        (32, 32, 3, 3),
    ]
    assert [module.stride for module in convolutions] == [(2, 2), (1, 1), (1, 1), (1, 1)]
    assert all(module.padding == (0, 0) for module in convolutions)
    assert [type(module) for module in encoder.convolutions[1::2]] == [nn.ReLU] * 4
    # 84 → 41 → 39 → 37 → 35 pixels
    assert encoder.linear.weight.shape == (50, 32 * 35 * 35)
    assert not list(encoder.norm.parameters())


def one_layer(scaling: str, padding: int = 0) -> Encoder:
    """An encoder with one convolution over frames of 9 × 9 pixels, whose bias is not zero."""
    config = EncoderConfig(
        (4,), 3, (2,), (padding,), 6, pixel_scaling=scaling, delta_orthogonal=False
    )
    encoder = Encoder(config, 9)
    nn.init.normal_(encoder.convolutions[0].bias)
    return encoder


@pytest.mark.parametrize("frame_count", [2, 20])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("scaling", ["unit", "centered", "standardized"])
def test_encoder_agrees_with_a_plain_computation(
    frame_count: int, padding: int, scaling: str
) -> None:
    encoder = one_layer(scaling, padding)
    frames = random_frames(frame_count, side=9)
    convolution = encoder.convolutions[0]
    pixels = frames.permute(0, 3, 1, 2).contiguous().float() / 255
    if scaling == "centered":
        pixels = pixels - 0.5
    elif scaling == "standardized":
        deviation = pixels.std((1, 2, 3), keepdim=True, correction=0)
        pixels = (pixels - pixels.mean((1, 2, 3), keepdim=True)) / (deviation + 0.05)
    hidden = nn.functional.conv2d(
        pixels, convolution.weight, convolution.bias, stride=2, padding=padding
    ).relu()
    expected = nn.functional.layer_norm(encoder.linear(hidden.flatten(1)), (6,))
    torch.testing.assert_close(encoder(frames), expected, atol=1e-5, rtol=0)


def test_in_bfloat16_the_activations_are_relus() -> None:
    encoder = Encoder(
        EncoderConfig((4, 4), strides=(2, 1), output_size=6, delta_orthogonal=False), 9
    )
    frames = random_frames(20, side=9)
    first, second = (layer for layer in encoder.convolutions if isinstance(layer, nn.Conv2d))
    assert first.bias is not None
    with torch.autocast("cpu", torch.bfloat16):
        encodings = encoder(frames)
        pixels = frames.permute(0, 3, 1, 2).float()
        hidden = nn.functional.conv2d(pixels, first.weight / 255, first.bias, stride=2).relu()
        hidden = second(hidden).relu()
        expected = encoder.norm(encoder.linear(hidden.flatten(1)).float())
    torch.testing.assert_close(encodings, expected)
    weight = torch.randn_like(encodings)
    parameters = list(encoder.parameters())
    gradients, of_relus = (
        torch.autograd.grad((x * weight).sum(), parameters) for x in (encodings, expected)
    )
    torch.testing.assert_close(gradients, of_relus)


def test_in_bfloat16_every_number_goes_through_the_relu_as_through_pytorchs() -> None:
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.bfloat16)
    rectified = _ReLU.apply(every.clone())
    torch.testing.assert_close(rectified, every.relu(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_broken_convolution_is_not_hidden(bfloat16: bool) -> None:
    encoder = Encoder(EncoderConfig((4, 4), strides=(2, 1), output_size=6), 9)
    with torch.no_grad():
        encoder.convolutions[0].weight[0, 0, 0, 0] = torch.nan
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        assert encoder(random_frames(20, side=9)).isnan().all()


def test_the_encoder_for_robosuite_has_padding_on_its_first_two_layers() -> None:
    config = EncoderConfig(filters=(32,) * 5, strides=(2, 2, 1, 1, 1), paddings=(1, 1, 0, 0, 0))
    # 128 → 64 → 32 → 30 → 28 → 26 pixels
    assert config.sides(128) == (64, 32, 30, 28, 26)
    encoder = Encoder(config, 128)
    assert encoder.linear.in_features == 32 * 26 * 26
    assert encoder(random_frames(1, side=128)).shape == (1, 50)


def test_standardised_frames_of_another_brightness_have_the_same_encoding() -> None:
    encoder = one_layer("standardized")
    frames = random_frames(2, side=9) // 2
    torch.testing.assert_close(encoder(frames + 100), encoder(frames), atol=1e-4, rtol=0)
    assert encoder(torch.full_like(frames, 7)).isfinite().all()


@pytest.mark.parametrize("scaling", ["unit", "centered", "standardized"])
def test_frames_are_left_as_they_are(scaling: str) -> None:
    encoder = one_layer(scaling)
    frames = random_frames(2, side=9)
    before = frames.clone()
    encoder(frames)
    assert torch.equal(frames, before)


def test_each_frame_is_encoded_alone(tiny_config: Callable[..., CoReConfig]) -> None:
    sizes = tiny_config().world_model
    encoder = Encoder(sizes.encoder, sizes.crop_size)
    frames = random_frames(3, side=sizes.crop_size)
    for i in range(3):
        torch.testing.assert_close(encoder(frames)[i], encoder(frames[i : i + 1])[0])


@pytest.mark.parametrize("scaling", ["unit", "centered", "standardized"])
@pytest.mark.parametrize("frame_stack", [1, 3])
def test_the_gate_multiplies_what_the_first_convolution_sees(
    scaling: Literal["unit", "centered", "standardized"], frame_stack: int
) -> None:
    config = EncoderConfig(
        filters=(4, 6),
        strides=(2, 1),
        output_size=7,
        pixel_scaling=scaling,
        frame_stack=frame_stack,
        gate=GateConfig(filters=(5, 4)),
    )
    encoder = Encoder(config, 12)
    gate = encoder.gate
    assert gate is not None
    for parameter in gate.parameters():
        nn.init.normal_(parameter, std=0.2)
    frames = torch.randint(256, (2, 12, 12, 3 * frame_stack), dtype=torch.uint8)
    with torch.no_grad():
        for row, frame in enumerate(frames):
            pixels = frame.float()
            if scaling == "standardized":
                pixels = (pixels - pixels.mean()) / (pixels.std(correction=0) + 0.05 * 255)
            else:
                pixels = pixels / 255 - 0.5 * (scaling == "centered")
            gated = []
            for each in pixels.split(3, -1):
                hidden = each.permute(2, 0, 1)[None]
                for layer in gate.layers:
                    hidden = layer(hidden)
                gated.append(each * hidden[0, 0, :, :, None])
            features = torch.cat(gated, -1).permute(2, 0, 1)[None]
            for layer in encoder.convolutions:
                features = layer(features.clone())
            expected = encoder.norm(encoder.linear(features.flatten(1)))
            torch.testing.assert_close(encoder(frames)[row], expected[0], atol=1e-5, rtol=0)
            torch.testing.assert_close(encoder.mask(frames)[row], hidden[0, 0])
    encoder(frames).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in gate.parameters())


@pytest.mark.parametrize(("bounded", "least"), [(True, 1 / (1 + math.e)), (False, 0.0)])
def test_a_mask_can_close_where_nothing_bounds_it(bounded: bool, least: float) -> None:
    gate = Gate(GateConfig(bounded=bounded))
    with torch.no_grad():
        last = [layer for layer in gate.layers if isinstance(layer, nn.Conv2d)][-1]
        last.bias.fill_(-100.0)
        mask = gate(torch.rand(2, 12, 12, 3))
    assert mask.shape == (2, 12, 12, 1)
    torch.testing.assert_close(mask, torch.full_like(mask, least))


def test_without_a_gate_there_is_no_mask() -> None:
    encoder = Encoder(EncoderConfig(filters=(4,), strides=(2,), output_size=7), 12)
    with pytest.raises(ValueError, match="has no gating network"):
        encoder.mask(random_frames(1, side=12))
    with pytest.raises(ValueError, match="kernel_size must be odd, not 4"):
        GateConfig(kernel_size=4)
