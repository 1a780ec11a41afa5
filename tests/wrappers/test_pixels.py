"""Frames of other forms become the model's, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from core_repr.wrappers.pixels import PixelReader, is_grayscale

SIDE = 12
FRAMES = np.random.default_rng(0).integers(256, size=(5, SIDE, SIDE, 3), dtype=np.uint8)
OTHERS = 255 - FRAMES


def box(shape: tuple[int, ...], low: float = 0, high: float = 255, dtype: Any = np.uint8) -> Any:
    return spaces.Box(low, high, shape, dtype)


def read(space: spaces.Space[Any], observations: Any, key: str | None = None) -> np.ndarray:
    reader = PixelReader(space, key, SIDE)
    return reader.frames(reader.pixels(observations))


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
    "by key": (
        spaces.Dict(pixels=box((SIDE, SIDE, 3)), position=box((2,), -1, 1, np.float32)),
        {"pixels": FRAMES, "position": np.zeros((5, 2))},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_of_other_forms_become_the_model_s(form: str) -> None:
    space, observations = FORMS[form]
    frames = read(space, observations)
    assert frames.dtype == np.uint8 and np.array_equal(frames, FRAMES)
    single = {k: v[2] for k, v in observations.items()} if "key" in form else observations[2]
    assert np.array_equal(read(space, single), FRAMES[2:3])


def test_a_key_is_chosen() -> None:
    space = spaces.Dict(left=box((SIDE, SIDE, 3)), right=box((SIDE, SIDE, 3)))
    assert np.array_equal(read(space, {"left": FRAMES, "right": OTHERS}, "right"), OTHERS)


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


def test_frames_that_cannot_be_written_to_are_taken() -> None:
    frames = FRAMES.copy()
    frames.flags.writeable = False
    assert read(box((SIDE, SIDE, 3)), frames).flags.writeable


REFUSED = [
    (box((5,), -1, 1, np.float32), TypeError, r"RGB frames.*AddRenderObservation"),
    (spaces.Discrete(3), TypeError, r"Discrete\(3\)"),
    (spaces.Tuple([box((SIDE, SIDE, 3))]), TypeError, "Tuple"),
    (box((SIDE, SIDE)), TypeError, r"shape \(12, 12\).*colours"),
    (box((SIDE, SIDE, 1)), TypeError, r"shape \(12, 12, 1\)"),
    (box((4, SIDE, SIDE)), TypeError, r"shape \(4, 12, 12\)"),
    (box((3, SIDE, SIDE, 1)), TypeError, r"shape \(3, 12, 12, 1\)"),
    (box((2, 2, SIDE, SIDE, 3)), TypeError, "shape"),
    (box((SIDE, 16, 3)), ValueError, r"square.*12 × 16"),
    (box((3, 20, 16)), ValueError, r"square.*20 × 16"),
    (box((8, 8, 3)), ValueError, r"12 × 12.*gives 8 × 8.*frame_size=12"),
    (box((SIDE, SIDE, 3), -1, 1, np.float32), ValueError, "float32 from -1 to 1"),
    (box((SIDE, SIDE, 3), -np.inf, np.inf, np.float32), ValueError, "from -inf to inf"),
    (box((SIDE, SIDE, 3), 0, 1), ValueError, "uint8 from 0 to 1"),
    (spaces.Dict(pixel=box((SIDE, SIDE, 3))), ValueError, "'pixels'.*did you mean 'pixel'"),
    (spaces.Dict(camera=box((SIDE, SIDE, 3))), ValueError, r"\('camera'\).*pixels_key"),
]


@pytest.mark.parametrize(("space", "error", "words"), REFUSED)
def test_what_would_have_to_be_guessed_is_refused(
    space: spaces.Space[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        PixelReader(space, None, SIDE)
    assert "\n" not in str(raised.value)


def test_grey_frames_are_told_from_others() -> None:
    for shape in ((SIDE, SIDE), (SIDE, SIDE, 1), (1, SIDE, SIDE)):
        assert is_grayscale(box(shape))
    for space in (
        box((SIDE, SIDE, 3)),
        box((3, SIDE, SIDE)),
        box((1,)),
        box((SIDE,)),
        box((4, 4)),
        box((SIDE, SIDE), -1, 1, np.float32),
        spaces.Discrete(3),
    ):
        assert not is_grayscale(space)
