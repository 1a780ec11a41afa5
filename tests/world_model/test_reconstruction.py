from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from core_repr.config import CoReConfig, ReconstructionConfig, make_variant
from core_repr.world_model import CoReWorldModel, OtherViews, SequenceBatch
from core_repr.world_model.objectives import Reconstruction
from core_repr.world_model.pixel_decoder import PixelDecoder


@pytest.fixture
def recon(tiny_config: Callable[..., CoReConfig]) -> CoReConfig:
    return make_variant(tiny_config(), "recon")


def decoded_from(config: CoReConfig, decoded: str) -> CoReConfig:
    frames = replace(config.objectives.frames, decoded=decoded)
    return config.replace(objectives=replace(config.objectives, frames=frames))


@pytest.mark.parametrize("side", [1, 12, 64, 84, 128])
@pytest.mark.parametrize("filters", [(8,), (16, 8, 4, 4)])
def test_the_decoder_gives_frames_of_any_side(side: int, filters: tuple[int, ...]) -> None:
    decoder = PixelDecoder(7, filters, side)
    assert decoder(torch.randn(2, 3, 7)).shape == (2, 3, side, side, 3)


def test_all_pixels_follow_from_the_vector() -> None:
    decoder = PixelDecoder(7, (8, 4), 10)
    vector = torch.randn(1, 7, requires_grad=True)
    for pixel in decoder(vector)[0].flatten(0, 1).sum(-1)[[0, 9, 55, 90, 99]]:
        (gradient,) = torch.autograd.grad(pixel, vector, retain_graph=True)
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("decoded", ["prior", "posterior"])
def test_the_loss_is_the_smooth_l1_error_of_the_frames_centre(
    decoded: str, recon: CoReConfig, random_batch: Callable[..., SequenceBatch]
) -> None:
    model = CoReWorldModel(decoded_from(recon, decoded))
    whole = random_batch(side=16)
    batch = random_batch()
    batch.mask[4:, 1] = False
    noise = model.noise(torch.Generator().manual_seed(0), 6, 3)
    observed = model.observe_batch(batch, noise, OtherViews(whole.frames))
    objective = model.objectives["frames"]
    term = objective(observed)

    state = observed.prior if decoded == "prior" else observed.posterior
    assert state is not None
    errors, baseline = [], []
    scored = [
        (t, b) for b in range(3) for t in range(decoded == "prior", 6) if not (b == 1 and t >= 4)
    ]
    mean = torch.stack([whole.frames[t, b, 2:14, 2:14] / 255 for t, b in scored]).mean(0)
    for t, b in scored:
        y = objective.decoder(state.sample_features[t, b])
        y = (y - y.mean()) / (y.var(correction=0) + 1e-5).sqrt()
        image = objective.pixels(y[None])[0]
        target = whole.frames[t, b, 2:14, 2:14] / 255
        errors.append(nn.SmoothL1Loss()(image, target))
        baseline.append(nn.SmoothL1Loss()(mean, target))
    torch.testing.assert_close(term.loss, torch.stack(errors).mean(), atol=1e-5, rtol=0)
    torch.testing.assert_close(term.chance, torch.stack(baseline).mean(), atol=1e-5, rtol=0)


def test_what_the_encoder_saw_is_the_target_where_no_whole_frames_are_told(
    recon: CoReConfig, random_batch: Callable[..., SequenceBatch]
) -> None:
    model, batch = CoReWorldModel(recon), random_batch()
    noise = model.noise(torch.Generator().manual_seed(0), 6, 3)
    objective = model.objectives["frames"]
    alone = objective(model.observe_batch(batch, noise))
    told = objective(model.observe_batch(batch, noise, OtherViews(batch.frames)))
    assert alone.loss == told.loss


def test_it_learns_to_draw_what_it_sees(recon: CoReConfig) -> None:
    torch.manual_seed(0)
    model = CoReWorldModel(decoded_from(recon, "posterior"))
    # A bright column of one of two places: it stays where it is through the sequence.
    frames = torch.zeros(4, 8, 12, 12, 3, dtype=torch.uint8)
    frames[:, ::2, :, :4], frames[:, 1::2, :, 8:] = 255, 255
    zeros = torch.zeros(4, 8)
    first = torch.zeros(4, 8, dtype=torch.bool)
    batch = SequenceBatch(
        frames, torch.zeros(4, 8, 2), zeros, first, first, ~first, torch.zeros(4, 8, 0)
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    objective = model.objectives["frames"]
    for _ in range(60):
        term = objective(model.observe_batch(batch))
        optimizer.zero_grad()
        term.loss.backward()
        optimizer.step()
    assert term.loss < 0.05 * term.chance
    assert isinstance(objective, Reconstruction)
    shown = objective.decode(model.observe_batch(batch).posterior)[-1]
    assert shown[0, :, :4].mean() > 0.8 and shown[0, :, 8:].mean() < 0.2
    assert shown[1, :, :4].mean() < 0.2 and shown[1, :, 8:].mean() > 0.8


def test_the_variant_has_a_weight_of_its_own(recon: CoReConfig) -> None:
    frames = recon.objectives.frames
    assert isinstance(frames, ReconstructionConfig)
    # The hidden layers of g stay those of the preset.
    assert frames.weight == ReconstructionConfig().weight and frames.layers == (8,)
