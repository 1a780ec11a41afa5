from __future__ import annotations

import numpy as np
import pytest
import torch

from core_repr.agent.augmentation import (
    CameraJitter,
    Pipeline,
    RandomCrop,
    RandomShift,
    TextureOverlay,
    make_textures,
)
from core_repr.config import AugmentationConfig, WorldModelConfig

OVERLAY = TextureOverlay(16, opacity=1.0, color_jitter=0.3, device=torch.device("cpu"))


@pytest.mark.parametrize("augment", [OVERLAY, CameraJitter(0.2)], ids=["textures", "camera"])
def test_half_of_the_frames_change_and_the_others_are_untouched(
    augment: TextureOverlay | CameraJitter,
) -> None:
    frames = torch.randint(256, (6, 5, 16, 16, 3), dtype=torch.uint8)
    original = frames.clone()
    augmented = augment(frames, torch.Generator().manual_seed(0))
    assert augmented.shape == frames.shape and augmented.dtype == torch.uint8
    changed = (augmented != frames).flatten(2).any(-1)
    assert changed.sum() == 15
    assert torch.equal(frames, original), "the replay's own frames must not be written to"


@pytest.mark.parametrize("augment", [OVERLAY, CameraJitter(0.2)], ids=["textures", "camera"])
def test_the_generator_decides(augment: TextureOverlay | CameraJitter) -> None:
    frames = torch.randint(256, (4, 4, 16, 16, 3), dtype=torch.uint8)
    first, again, other = (augment(frames, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_camera_turns_zooms_and_shifts_within_its_bounds() -> None:
    """Two dots show where they have gone, and with them the turn, the zoom and the shift."""
    scale, side = 0.2, 65
    frame = np.zeros((side, side, 3), np.uint8)
    grid = np.mgrid[:side, :side]
    # Each dot has a colour of its own, ten pixels left and right of the centre.
    for channel, column in ((0, 22), (1, 42)):
        squared = (grid[0] - 32) ** 2 + (grid[1] - column) ** 2
        frame[..., channel] = 255 * np.exp(-squared / (2 * 2**2))
    frames = torch.from_numpy(np.broadcast_to(frame, (40, 10, *frame.shape)).copy())
    augmented = CameraJitter(scale)(frames, torch.Generator().manual_seed(0)).flatten(0, 1)
    moved = augmented[(augmented != frames[0, 0]).flatten(1).any(1)].numpy().astype(float)
    assert len(moved) == 200
    mass = moved[..., :2].sum((1, 2))
    dots = np.einsum("nyxc,dyx->ncd", moved[..., :2], grid) / mass[..., None]
    across = dots[:, 1] - dots[:, 0]
    turn = np.arctan2(across[:, 0], across[:, 1])
    zoom = np.log(np.hypot(*across.T) / 20)
    shift = (dots.mean(1) - 32) / side
    for values, bound in ((turn, scale * np.pi / 2), (zoom, scale)):
        assert 0.9 * bound < values.max() < 1.05 * bound
        assert -1.05 * bound < values.min() < -0.9 * bound
    # The shift is of the place that a pixel comes from, and zoomed and turned with the rest.
    assert 0.8 * scale / 4 < np.abs(shift).max() < 1.05 * np.sqrt(2) * scale / 4 * np.exp(scale)


def test_beyond_its_edges_a_frame_is_mirrored() -> None:
    frames = torch.zeros((10, 20, 64, 64, 3), dtype=torch.uint8)
    frames[:, :, 1:-1, 1:-1] = 200
    augmented = CameraJitter(1.0)(frames, torch.Generator().manual_seed(0))
    # The dark edge would fill most of the frames that are zoomed out, were it drawn on instead.
    dark = (augmented < 100).flatten(2).float().mean(-1)
    assert 0 < dark.max() < 0.2


def test_a_single_frame_has_no_half() -> None:
    frame = torch.randint(256, (1, 1, 16, 16, 3), dtype=torch.uint8)
    assert torch.equal(CameraJitter(0.2)(frame, torch.Generator()), frame)


def test_opacity_bounds_the_change() -> None:
    overlay = TextureOverlay(16, opacity=0.1, color_jitter=0.0, device=torch.device("cpu"))
    frames = torch.full((4, 4, 16, 16, 3), 128, dtype=torch.uint8)
    augmented = overlay(frames, torch.Generator().manual_seed(0)).int()
    # A tenth of the greatest distance to a texture, and one for rounding.
    assert (augmented - 128).abs().max() <= 0.1 * 128 + 1


def test_colours_change_without_textures_too() -> None:
    overlay = TextureOverlay(16, opacity=0.0, color_jitter=0.2, device=torch.device("cpu"))
    frames = torch.full((4, 4, 16, 16, 3), 128, dtype=torch.uint8)
    augmented = overlay(frames, torch.Generator().manual_seed(0)).int()
    # Every pixel of a frame alike, half of the frames, within the bounds of gain and offset.
    assert (augmented == augmented[:, :, :1, :1]).all()
    assert (augmented != 128).any(-1)[:, :, 0, 0].sum() == 8
    assert (augmented - 128).abs().max() <= 0.2 * 128 + 0.1 * 255 + 1


def test_textures_have_a_spectrum_that_falls() -> None:
    textures = make_textures(32, 64, np.random.default_rng(0)).astype(float)
    assert textures.std(axis=(1, 2)).mean() > 10
    luminance = textures.mean(-1) - textures.mean((1, 2, 3))[:, None, None]
    power = (np.abs(np.fft.rfft2(luminance)) ** 2).mean(0)
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None])
    low = power[(frequency > 0.02) & (frequency < 0.06)].mean()
    high = power[(frequency > 0.3) & (frequency < 0.5)].mean()
    # Amplitude falls at least like f^-0.8: over a factor of about ten, power falls by 10^1.6.
    assert low > 20 * high


# Where the learner looks


def located_frames(side: int, length: int = 3, batch_size: int = 200) -> torch.Tensor:
    """Pixels that tell their row, their column and the number of their frame."""
    frames = torch.zeros(length, batch_size, side, side, 3, dtype=torch.uint8)
    frames[..., 0] = torch.arange(side)[:, None]
    frames[..., 1] = torch.arange(side)
    frames[..., 2] = torch.arange(length)[:, None, None, None]
    return frames


def test_crops_lie_anywhere_and_at_one_place_in_a_sequence() -> None:
    frames = located_frames(8)
    cropped = RandomCrop(5)(frames, torch.Generator().manual_seed(0))
    assert cropped.shape == (3, 200, 5, 5, 3)
    corners = cropped[0, :, 0, 0, :2]
    places = {(y, x) for y, x in corners.tolist()}
    assert places == {(y, x) for y in range(4) for x in range(4)}
    for b, (y, x) in enumerate(corners.tolist()):
        assert torch.equal(cropped[:, b], frames[:, b, y : y + 5, x : x + 5])


def test_shifts_reach_to_all_sides_and_repeat_the_edges() -> None:
    frames = located_frames(8)
    shifted = RandomShift(2)(frames, torch.Generator().manual_seed(0))
    assert shifted.shape == frames.shape
    # The pixel in the middle is far from all edges.
    down, right = shifted[0, :, 4, 4, 0].long() - 4, shifted[0, :, 4, 4, 1].long() - 4
    shifts = {(y, x) for y, x in zip(down.tolist(), right.tolist(), strict=True)}
    assert shifts == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    lines = torch.arange(8)
    for b in range(200):
        rows, columns = (lines + down[b]).clamp(0, 7), (lines + right[b]).clamp(0, 7)
        assert torch.equal(shifted[:, b], frames[:, b][:, rows][:, :, columns])


def test_only_what_is_asked_for_is_built() -> None:
    sizes, cpu = WorldModelConfig(frame_size=100, crop_size=84), torch.device("cpu")

    def built(sizes: WorldModelConfig = sizes, **settings: float) -> list[type]:
        return [type(step) for step in Pipeline(AugmentationConfig(**settings), sizes, cpu).steps]

    assert built() == [RandomCrop]
    assert built(WorldModelConfig(frame_size=84, crop_size=84)) == []
    everything = {"shift": 2, "camera_jitter": 0.1, "texture_opacity": 0.5, "color_jitter": 0.1}
    assert built(color_jitter=0.1) == [RandomCrop, TextureOverlay]
    assert built(**everything) == [RandomCrop, RandomShift, CameraJitter, TextureOverlay]


def test_a_mini_batch_can_be_seen_twice_and_stays_as_it_is() -> None:
    frames = torch.randint(256, (3, 40, 32, 32, 3), dtype=torch.uint8)
    original = frames.clone()
    sizes = WorldModelConfig(frame_size=32, crop_size=24)
    look = Pipeline(AugmentationConfig(texture_opacity=1.0), sizes, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    first, second = look(frames, generator), look(frames, generator)
    assert first.shape == second.shape == (3, 40, 24, 24, 3)
    assert not torch.equal(first, second) and torch.equal(frames, original)
