"""Actions of any bounded Box come to the model in [−1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from core_repr.config import EnvironmentConfig
from core_repr.wrappers.actions import ActionScaler

TRAINED = EnvironmentConfig("trained-v0", {}, (-1.0, -1.0), (1.0, 1.0))


def scale(space: spaces.Space[Any], actions: Any) -> list[list[float]]:
    scaled = ActionScaler(space, TRAINED)(np.asarray(actions))
    assert scaled.dtype == np.float32
    return scaled.tolist()  # type: ignore[no-any-return]


def test_each_dimension_has_bounds_of_its_own() -> None:
    space = spaces.Box(np.array([-2.0, 10.0]), np.array([3.0, 30.0]), dtype=np.float64)
    assert scale(space, [[-2, 30], [0.5, 20], [3, 15]]) == [[-1, 1], [0, 0], [1, -0.5]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.float16])
def test_any_dtype_does(dtype: Any) -> None:
    space = spaces.Box(0, 100, (2,), dtype)
    assert scale(space, np.array([[0, 75]], dtype)) == [[-1, 0.5]]


def test_actions_with_axes_are_flattened_and_a_single_one_is_a_batch() -> None:
    space = spaces.Box(-1, 1, (1, 2))
    assert scale(space, [[[0.5, -0.5]], [[1, 1]]]) == [[0.5, -0.5], [1, 1]]
    assert scale(space, [[0.5, -0.5]]) == [[0.5, -0.5]]


def test_what_is_out_of_bounds_is_clipped() -> None:
    assert scale(spaces.Box(-2, 2, (2,)), [[-9, 5]]) == [[-1, 1]]


def test_an_action_that_cannot_vary_is_in_the_middle() -> None:
    space = spaces.Box(np.array([-1.0, 4.0]), np.array([1.0, 4.0]))
    assert scale(space, [[1, 4]]) == [[1, 0]]


def test_the_user_s_action_stays_as_it_is() -> None:
    actions = np.array([[0.25, 7.0]])
    scale(spaces.Box(-2, 2, (2,)), actions)
    assert actions.tolist() == [[0.25, 7.0]]


@pytest.mark.parametrize(
    ("space", "error", "words"),
    [
        (spaces.Discrete(7), TypeError, r"Box of continuous actions.*Discrete\(7\)"),
        (spaces.MultiBinary(2), TypeError, "MultiBinary"),
        (spaces.Box(-np.inf, np.inf, (2,)), ValueError, "bounded.*ClipAction around"),
        (spaces.Box(np.array([0, -np.inf]), np.ones(2)), ValueError, "bounded"),
        (spaces.Box(-1, 1, (3,)), ValueError, r"2 action dimensions \(trained-v0\).*has 3"),
    ],
)
def test_other_actions_are_refused(
    space: spaces.Space[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ActionScaler(space, TRAINED)
