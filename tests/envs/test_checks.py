from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box

from core_repr.envs.checks import require_action, require_choice, require_positive

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
    require_positive("frame_size", value)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (1.0, TypeError), ("1", TypeError), (False, TypeError)]
)
def test_not_positive_integers(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="frame_size="):
        require_positive("frame_size", value)
