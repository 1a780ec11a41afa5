from __future__ import annotations

from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box

from core_repr.envs.checks import (
    require_action,
    require_choice,
    require_integer,
    require_place,
    require_switch,
)

SPACE = Box(np.array([-1, -2], np.float32), np.array([1, 4], np.float32))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0.0, np.inf], "is not finite"),
        ([np.nan, 0.0], "is not finite"),
        ([0.0, 4.1], "is out of bounds.*ClipAction"),
        ([-1.001, 0.0], "is out of bounds"),
        ([0.0], r"has shape \(1,\)"),
        (0.5, r"has shape \(\)"),
        ([[0.0, 0.0]], r"has shape \(1, 2\)"),
        ("left", "'left' is not made of numbers"),
        (None, "None"),
        ([0.0, None], "expected"),
    ],
)
def test_bad_actions(action: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        require_action(action, SPACE)
    assert "expected finite numbers of shape (2,) from [-1. -2.] to [1. 4.]" in str(caught.value)
    assert repr(action) in str(caught.value)


def test_rounding_is_no_fault() -> None:
    np.testing.assert_array_equal(require_action([-1.000001, 4.00001], SPACE), [-1, 4])
    np.testing.assert_array_equal(require_action((0.25, 1), SPACE), [0.25, 1])


def test_an_action_is_copied() -> None:
    action = np.zeros(2)
    require_action(action, SPACE)[:] = 1
    assert (action == 0).all()


def test_choices() -> None:
    require_choice("split", "val", ("train", "val"))
    with pytest.raises(ValueError, match=r"split=\['val'\] is unknown: expected one of"):
        require_choice("split", ["val"], ("train", "val"))


@pytest.mark.parametrize("value", [1, np.int64(7)])
def test_positive_integers(value: int) -> None:
    require_integer("frame_size", value)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (1.0, TypeError), ("1", TypeError), (False, TypeError)]
)
def test_not_positive_integers(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="frame_size="):
        require_integer("frame_size", value)


@pytest.mark.parametrize("value", [True, np.True_])
def test_switches(value: object) -> None:
    assert require_switch("dynamic", value) is True
    for other in (1, "yes", None, np.float32(1), [True], np.array(True)):
        with pytest.raises(ValueError, match=r"dynamic=.* is unknown: expected one of"):
            require_switch("dynamic", other)


class Level(str, Enum):
    EASY = "easy"


@pytest.mark.parametrize("value", [np.str_("easy"), Level.EASY])
def test_a_choice_is_a_plain_string(value: object) -> None:
    found = require_choice("difficulty", value, [None, "easy"])
    assert found == "easy" and type(found) is str


@pytest.mark.parametrize("value", [b"easy", np.array(["easy", "hard"]), 0, False])
def test_what_is_not_a_string_is_not_a_choice(value: object) -> None:
    with pytest.raises(ValueError, match=r"difficulty=.* is unknown: expected one of"):
        require_choice("difficulty", value, [None, "easy"])


def test_integers_are_plain_and_bounded() -> None:
    assert type(require_integer("frame_size", np.uint8(7))) is int
    assert require_integer("seed", 0, lowest=0) == 0
    with pytest.raises(ValueError, match="frame_size=9 is too large: expected at most 8"):
        require_integer("frame_size", 9, highest=8)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("davis", "davis"),
        (Path("davis"), "./davis"),
        (Path("videos/mine"), "videos/mine"),
        (np.str_("videos"), "videos"),
        (Path(), "."),
    ],
)
def test_a_path_is_a_folder_whatever_it_is_called(value: object, expected: str) -> None:
    found = require_place("backgrounds", value, ["davis"])
    assert found == expected and type(found) is str


@pytest.mark.parametrize(
    ("value", "error"), [("", ValueError), (b"videos", TypeError), (3, TypeError)]
)
def test_what_is_not_a_place(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"backgrounds=.*expected a folder's path or one of"):
        require_place("backgrounds", value, ["davis"])
