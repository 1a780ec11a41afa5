"""Actions of any bounded Box come to the model in [−1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from core_repr.adapters import ActionScaler
from core_repr.config import EnvironmentConfig

TRAINED = EnvironmentConfig("trained-v0", {}, (-1.0, -1.0), (1.0, 1.0))


def scale(space: spaces.Space[Any], actions: Any) -> list[list[float]]:
    scaled = ActionScaler(space, TRAINED).to_model(np.asarray(actions))
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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is not finite"):
        scale(spaces.Box(-2, 2, (2,)), [[1, value]])


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
        (spaces.Box(-2e38, 2e38, (2,)), ValueError, "further apart than float32 can tell"),
        (spaces.Box(-1e300, 1e300, (2,), np.float64), ValueError, "further apart"),
        (spaces.Box(0, 0, (2,)), ValueError, "actions that can vary"),
        (spaces.Box(0, 1, (2,), np.bool_), TypeError, "Box of continuous actions"),
        (spaces.Box(-1, 1, (3,)), ValueError, r"2 action dimensions \(trained-v0\).*has 3"),
    ],
)
def test_other_actions_are_refused(
    space: spaces.Space[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ActionScaler(space, TRAINED)


BOXES = [
    spaces.Box(-2, 3, (2,)),
    spaces.Box(np.array([-2.0, 10.0]), np.array([3.0, 30.0]), dtype=np.float64),
    spaces.Box(-1e38, 1.6e38, (2,)),
    spaces.Box(0, 100, (1, 2), np.float16),
    spaces.Box(np.array([[0], [-128]]), np.array([[255], [127]]), dtype=np.int16),
    spaces.Box(-(2**62), 2**62, (2,), np.int64),
]


@pytest.mark.parametrize("space", BOXES, ids=str)
def test_there_and_back(space: spaces.Box) -> None:
    scaler = ActionScaler(space, TRAINED)
    space.seed(0)
    actions = np.stack([space.low, space.high, *(space.sample() for _ in range(20))])
    scaled = scaler.to_model(actions)
    assert scaled.shape == (22, 2) and (np.abs(scaled) <= 1).all()
    assert scaled[0].tolist() == [-1, -1] and scaled[1].tolist() == [1, 1]
    back = scaler.to_environment(scaled)
    assert back.dtype == space.dtype and back.shape == actions.shape
    assert all(space.contains(action) for action in back)
    # A few digits of float32, of the distance between the bounds.
    spread = space.high.astype(np.float64) - space.low
    error = (back.astype(np.float64) - actions.astype(np.float64)) / spread
    np.testing.assert_allclose(error, 0, atol=1e-3 if space.dtype == np.float16 else 2e-6)


def test_whole_numbers_are_sent_to_those_who_take_no_others() -> None:
    scaler = ActionScaler(spaces.Box(0, 3, (2,), np.int32), TRAINED)
    assert scaler.whole and not ActionScaler(spaces.Box(0, 3, (2,)), TRAINED).whole
    sent = scaler.to_environment(np.float32([[-1, 0.2], [0.4, 1]]))
    assert sent.dtype == np.int32 and sent.tolist() == [[0, 2], [2, 3]]


def test_what_was_constant_in_the_training_is_not_among_the_model_s_actions() -> None:
    trained = EnvironmentConfig("trained-v0", {}, (-1.0, 4.0, 0.0), (1.0, 4.0, 2.0))
    assert trained.action_size == 2
    scaler = ActionScaler(spaces.Box(np.float32([-1, 4, 0]), np.float32([1, 4, 2])), trained)
    assert scaler.to_model(np.float32([[1, 4, 1]])).tolist() == [[1, 0]]
    assert scaler.to_environment(np.float32([[-0.5, 0.5]])).tolist() == [[-0.5, 4, 1.5]]
    # Elsewhere it may vary: the model cannot know how.
    elsewhere = ActionScaler(spaces.Box(-8, 8, (3,)), trained)
    assert elsewhere.to_model(np.float32([[8, 8, -4]])).tolist() == [[1, -0.5]]


RECORDED = EnvironmentConfig("dataset/log", {}, (0.0, 4.0, -6.0), (0.5, 4.0, 2.0))


def test_a_model_of_a_data_set_knows_actions_in_its_units_whatever_the_environment_takes() -> None:
    actions = np.float32([[0, 4, 2], [0.25, 9, -2], [0.375, 4, -9], [-1, 4, 8]])
    for high in (8, 100):
        scaler = ActionScaler(spaces.Box(-high, high, (3,)), RECORDED)
        assert scaler.to_model(actions).tolist() == [[-1, 1], [0, 0], [0.5, -1], [-1, 1]]
        back = scaler.to_environment(np.float32([[-1, 1], [0, 0], [0.5, -1]]))
        assert back.tolist() == [[0, 4, 2], [0.25, 4, -2], [0.375, 4, -6]]
    # What the environment does not take, it does not get.
    narrow = ActionScaler(spaces.Box(-1, 1, (3,)), RECORDED)
    assert narrow.to_model(np.float32([[0.5, 1, 1]])).tolist() == [[1, 0.75]]
    assert narrow.to_environment(np.float32([[1, 1], [1, -1]])).tolist() == [
        [0.5, 1, 1],
        [0.5, 1, -1],
    ]
    whole = ActionScaler(spaces.Box(-9, 9, (3,), np.int64), RECORDED)
    assert whole.to_environment(np.float32([[1, 0.9]])).tolist() == [[0, 4, 2]]
