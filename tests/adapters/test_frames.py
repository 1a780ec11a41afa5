"""Frames of other forms become the model's, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from core_repr.adapters import FrameReader

SIDE = 12
FRAMES = np.random.default_rng(0).integers(256, size=(5, SIDE, SIDE, 3), dtype=np.uint8)
OTHERS = 255 - FRAMES


def box(shape: tuple[int, ...], low: float = 0, high: float = 255, dtype: Any = np.uint8) -> Any:
    return spaces.Box(low, high, shape, dtype)


def read(space: spaces.Space[Any], pixels: Any) -> np.ndarray:
    return FrameReader(space, SIDE)(pixels)


first = np.moveaxis(FRAMES, -1, 1)
FORMS = {
    "as the model's": (box((SIDE, SIDE, 3)), FRAMES),
    "channels first": (box((3, SIDE, SIDE)), first),
    "floats in [0, 1]": (box((SIDE, SIDE, 3), 0, 1, np.float32), (FRAMES / 255).astype("f4")),
    "floats in [0, 255]": (box((SIDE, SIDE, 3), 0, 255, np.float64), FRAMES.astype("f8")),
    "integers": (box((SIDE, SIDE, 3), 0, 255, np.int32), FRAMES.astype("i4")),
    "stacked by Gymnasium": (box((2, SIDE, SIDE, 3)), np.stack([OTHERS, FRAMES], 1)),
    "three stacked by Gymnasium": (
        box((3, SIDE, SIDE, 3)),
        np.stack([OTHERS, OTHERS, FRAMES], 1),
    ),
    "stacked, channels first": (
        box((3, 3, SIDE, SIDE)),
        np.stack([255 - first, 255 - first, first], 1),
    ),
    "stacked by SB3": (box((SIDE, SIDE, 9)), np.concatenate([OTHERS, OTHERS, FRAMES], -1)),
    "stacked by SB3, channels first": (
        box((6, SIDE, SIDE)),
        np.concatenate([255 - first, first], 1),
    ),
    "channels first, floats": (box((3, SIDE, SIDE), 0, 1, np.float64), first / 255),
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_of_other_forms_become_the_model_s(form: str) -> None:
    space, observations = FORMS[form]
    frames = read(space, observations)
    assert frames.dtype == np.uint8 and np.array_equal(frames, FRAMES)


@pytest.mark.parametrize("side", [24, 36, 17])
def test_larger_frames_are_reduced(side: int) -> None:
    # A picture that varies slowly looks the same at any size.
    grid = (np.arange(side) + 0.5) / side
    picture = np.stack(np.broadcast_arrays(grid[:, None], grid, 0.5), -1)[None] * 255
    frames = read(box((side, side, 3)), np.rint(picture).astype(np.uint8))
    small = (np.arange(SIDE) + 0.5) / SIDE
    expected = np.stack(np.broadcast_arrays(small[:, None], small, 0.5), -1)[None] * 255
    # Edges are weighted a little differently.
    np.testing.assert_allclose(frames[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=3)
    # Every pixel counts: of a checkerboard, grey is left.
    board = np.indices((side, side)).sum(0) % 2 * np.uint8(255)
    grey = read(box((side, side, 3)), np.repeat(board[None, ..., None], 3, -1).astype(np.uint8))
    if side % SIDE == 0:
        assert grey.min() > 60 and grey.max() < 195


def unwriteable(frames: np.ndarray) -> np.ndarray:
    frames = frames.copy()
    frames.flags.writeable = False
    return frames


LAYOUTS = {
    "upside down": lambda frames: frames[:, ::-1].copy()[:, ::-1],
    "mirrored": lambda frames: frames[:, :, ::-1].copy()[:, :, ::-1],
    "BGR": lambda frames: frames[..., ::-1].copy()[..., ::-1],
    "backwards in time": lambda frames: frames[::-1].copy()[::-1],
    "Fortran order": np.asfortranarray,
    "every second pixel of a larger one": lambda frames: frames.repeat(2, 1).repeat(2, 2)[
        :, ::2, ::2
    ],
    "read-only": unwriteable,
    "read-only, upside down": lambda frames: unwriteable(frames[:, ::-1])[:, ::-1],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_in_memory_does(form: str, layout: str) -> None:
    space, observations = FORMS[form]
    laid_out = LAYOUTS[layout](observations)
    assert np.array_equal(laid_out, observations)
    frames = read(space, laid_out)
    assert np.array_equal(frames, FRAMES)
    assert torch.equal(torch.from_numpy(frames), torch.from_numpy(FRAMES))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_larger_frames_of_any_layout_are_reduced(layout: str) -> None:
    large = FRAMES.repeat(2, 1).repeat(2, 2)
    space = box((2 * SIDE, 2 * SIDE, 3))
    assert np.array_equal(read(space, LAYOUTS[layout](large)), read(space, large))


def test_one_repeated_pixel_is_a_frame() -> None:
    frames = np.broadcast_to(np.uint8([1, 2, 3]), (5, SIDE, SIDE, 3))
    assert np.array_equal(read(box((SIDE, SIDE, 3)), frames), frames)


@pytest.mark.parametrize(
    ("value", "high", "dtype", "expected"),
    [
        (1.003, 1, np.float32, 255),
        (-0.003, 1, np.float32, 0),
        (0.5, 1, np.float16, 128),
        (0.5, 1, np.float64, 128),
        (255.4, 255, np.float32, 255),
        (-0.4, 255, np.float64, 0),
        (256, 255, np.uint16, 255),
        (-1, 255, np.int32, 0),
    ],
)
def test_what_is_a_little_outside_of_the_range_is_clipped(
    value: float, high: float, dtype: Any, expected: int
) -> None:
    frames = read(box((SIDE, SIDE, 3), 0, high, dtype), np.full((1, SIDE, SIDE, 3), value, dtype))
    assert (frames == expected).all()


def test_frames_that_are_almost_black_are_told_of_once() -> None:
    space = box((SIDE, SIDE, 3), 0, 255, np.float32)
    reader = FrameReader(space, SIDE)
    reader(np.zeros((1, SIDE, SIDE, 3), np.float32))
    reader(np.ones((1, SIDE, SIDE, 3), np.float32))
    dark = np.full((1, SIDE, SIDE, 3), 0.5, np.float32)
    with pytest.warns(UserWarning, match=r"from 0 to 0\.5, almost black.*space from 0 to 1\."):
        reader(dark)
    reader(dark)


@pytest.mark.parametrize(
    ("value", "high", "dtype", "words"),
    [
        (np.nan, 1, np.float32, "values that are not finite.*float32 from 0 to 1;"),
        (np.inf, 1, np.float64, "not finite"),
        (-np.inf, 255, np.float32, "not finite"),
        (255, 1, np.float32, "from 0 to 255, but the observation space says float32 from 0 to 1"),
        (-1.5, 1, np.float32, "from -1.5 to 0, but"),
        (-0.8, 1, np.float32, "from -0.8 to 0, but"),
        (1.9, 1, np.float32, "from 0 to 1.9, but"),
        (60_000, 255, np.uint16, "from 0 to 60000, but .* says uint16 from 0 to 255"),
    ],
)
def test_what_is_far_outside_of_the_range_or_not_finite_is_refused(
    value: float, high: float, dtype: Any, words: str
) -> None:
    pixels = np.zeros((2, SIDE, SIDE, 3), dtype)
    pixels[1, 3, 2, 1] = value
    with pytest.raises(ValueError, match=words):
        read(box((SIDE, SIDE, 3), 0, high, dtype), pixels)


@pytest.mark.parametrize(
    ("space", "dtype", "words"),
    [
        (box((SIDE, SIDE, 3)), np.float32, "are float32, but .* says uint8 from 0 to 255;"),
        (box((SIDE, SIDE, 3)), np.int8, "are int8, but"),
        (box((SIDE, SIDE, 3)), np.int64, "are int64, but"),
        (box((SIDE, SIDE, 3)), np.bool_, "are bool, but"),
        (box((SIDE, SIDE, 3)), object, "are object, but"),
        (box((SIDE, SIDE, 3), 0, 1, np.float32), np.uint8, "are uint8, but .* says float32"),
    ],
)
def test_frames_of_another_type_than_the_space_says_are_refused(
    space: spaces.Box, dtype: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        read(space, np.zeros((1, SIDE, SIDE, 3), dtype))


def test_a_type_that_holds_the_same_numbers_is_taken() -> None:
    assert np.array_equal(read(box((SIDE, SIDE, 3), dtype=np.int32), FRAMES), FRAMES)
    floats = box((SIDE, SIDE, 3), 0, 1, np.float32)
    assert np.array_equal(read(floats, FRAMES.astype(np.float64) / 255), FRAMES)


def test_without_a_side_frames_keep_theirs() -> None:
    reader = FrameReader(box((3, 40, 40)))
    assert (reader.side, reader.resized_from) == (40, None)


REFUSED = [
    (box((5,), -1, 1, np.float32), TypeError, r"RGB frames.*AddRenderObservation"),
    (spaces.Discrete(3), TypeError, r"Discrete\(3\)"),
    (spaces.Tuple([box((SIDE, SIDE, 3))]), TypeError, "Tuple"),
    (box((SIDE, SIDE)), TypeError, r"shape \(12, 12\), as grey ones have.*colours"),
    (box((SIDE, SIDE, 1)), TypeError, r"shape \(12, 12, 1\), as grey"),
    (box((1, SIDE, SIDE)), TypeError, r"shape \(1, 12, 12\), as grey"),
    (box((4, SIDE, SIDE)), TypeError, r"shape \(4, 12, 12\), four channels, as RGBA"),
    (box((SIDE, SIDE, 4)), TypeError, "RGBA or four grey frames"),
    (box((3, SIDE, SIDE, 1)), TypeError, r"shape \(3, 12, 12, 1\)"),
    (box((2, 2, SIDE, SIDE, 3)), TypeError, "shape"),
    (box((SIDE, 16, 3)), ValueError, r"square.*12 × 16.*width and height.*Resize"),
    (box((3, 20, 16)), ValueError, r"square.*20 × 16"),
    (box((8, 8, 3)), ValueError, r"12 × 12.*gives 8 × 8.*frame_size=12.*frame_size=8\."),
    (box((SIDE, SIDE, 3), -1, 1, np.float32), ValueError, "float32 from -1 to 1"),
    (box((SIDE, SIDE, 3), -np.inf, np.inf, np.float32), ValueError, "from -inf to inf"),
    (box((SIDE, SIDE, 3), 0, 1), ValueError, "uint8 from 0 to 1"),
]


@pytest.mark.parametrize(("space", "error", "words"), REFUSED)
def test_what_would_have_to_be_guessed_is_refused(
    space: spaces.Space[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        FrameReader(space, SIDE)
    assert "\n" not in str(raised.value)
