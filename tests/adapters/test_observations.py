from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from core_repr.adapters import ObservationReader, find_pixels, find_proprioception
from core_repr.adapters.observations import last_observations

CAMERA = spaces.Box(0, 255, (16, 16, 3), np.uint8)
ARM = spaces.Box(-np.pi, np.pi, (3,), np.float64)
GRIPPER = spaces.Box(0, 1, (1,), np.float32)


def test_frames_are_found_and_the_rest_is_proprioception_in_its_order() -> None:
    space = spaces.Dict(OrderedDict(gripper=GRIPPER, camera=CAMERA, arm=ARM))
    assert find_pixels(space) == "camera"
    found = find_proprioception(space, "camera")
    assert list(found.items()) == [("gripper", 1), ("arm", 3)]
    reader = ObservationReader(space, 16, "camera", found)
    one = {"gripper": np.array([0.5]), "camera": CAMERA.sample(), "arm": np.arange(3.0)}
    frames, proprioception = reader(one)
    np.testing.assert_array_equal(frames, one["camera"][None])
    np.testing.assert_array_equal(proprioception, [[0.5, 0, 1, 2]])
    batch = {key: np.stack([value, 2 * value]) for key, value in one.items()}
    np.testing.assert_array_equal(reader(batch).proprioception[1], [1, 0, 2, 4])
    # Some rows of a batch, in any order.
    np.testing.assert_array_equal(reader(batch, [1]).proprioception, [[1, 0, 2, 4]])
    np.testing.assert_array_equal(reader(batch, np.array([1, 0])).frames[1], one["camera"])
    assert len(reader(batch, np.array([], int)).frames) == 0


def test_plain_frames_come_without_proprioception() -> None:
    assert find_pixels(CAMERA) is None and find_proprioception(CAMERA, None) == {}
    reader = ObservationReader(CAMERA, 16, None, {})
    assert reader(CAMERA.sample()).proprioception.shape == (1, 0)


def test_a_key_is_chosen() -> None:
    reader = ObservationReader(spaces.Dict(left=CAMERA, right=CAMERA), 16, "right", {})
    left, right = CAMERA.sample(), CAMERA.sample()
    assert np.array_equal(reader({"left": left, "right": right}).frames[0], right)


@pytest.mark.parametrize(
    ("space", "key", "words"),
    [
        (spaces.Dict(pixel=CAMERA), "pixels", "'pixels'.*did you mean 'pixel'"),
        (spaces.Dict(camera=CAMERA), "pixels", r"\('camera'\).*pixels_key"),
        (CAMERA, "pixels", "pixels_key='pixels' names pixels within a Dict.*leave it out"),
    ],
)
def test_an_unknown_key_is_refused(space: spaces.Space[Any], key: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ObservationReader(space, 16, key, {})


@pytest.mark.parametrize(
    ("space", "error", "words"),
    [
        (spaces.Dict({"arm": ARM}), TypeError, "one entry of RGB frames.*'arm'.*AddRender"),
        (spaces.Dict({"grey": spaces.Box(0, 255, (16, 16, 1), np.uint8)}), TypeError, "as grey"),
        (spaces.Dict({"left": CAMERA, "right": CAMERA}), ValueError, "'left', 'right'.*FilterObs"),
    ],
)
def test_frames_that_cannot_be_found_are_refused(
    space: spaces.Space[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        find_pixels(space)


@pytest.mark.parametrize("other", [spaces.Box(0, 1, (4, 4)), spaces.Discrete(3)])
def test_what_is_no_proprioception_is_refused(other: spaces.Space[Any]) -> None:
    with pytest.raises(ValueError, match=r"'other'.*FilterObs"):
        find_proprioception(spaces.Dict({"camera": CAMERA, "other": other}), "camera")


READER = ObservationReader(spaces.Dict(camera=CAMERA, arm=ARM), 16, "camera", {"arm": 3})


def observations(count: int) -> dict[str, np.ndarray]:
    frames = np.random.randint(256, size=(count, 16, 16, 3), dtype=np.uint8)
    return {"camera": frames, "arm": np.random.randn(count, 3)}


@pytest.mark.parametrize("order", ["C", "F"])
def test_proprioception_of_any_layout_and_type_is_taken(order: Any) -> None:
    seen = observations(4)
    expected = READER(seen).proprioception
    laid_out = {**seen, "arm": np.array(seen["arm"], order=order)}
    assert np.array_equal(READER(laid_out).proprioception, expected)
    backwards = {"camera": seen["camera"][::-1], "arm": seen["arm"][::-1]}
    assert np.array_equal(READER(backwards).proprioception, expected[::-1])
    lists = {"camera": seen["camera"].tolist(), "arm": seen["arm"].tolist()}
    assert np.array_equal(READER(lists).proprioception, expected)
    assert np.array_equal(READER(lists).frames, seen["camera"])


def test_what_is_not_finite_is_refused_where_something_acts_on_it() -> None:
    seen = observations(3)
    assert np.array_equal(READER.finite(seen).frames, seen["camera"])
    seen["arm"][1, 2] = np.nan
    # A state may carry it until the episode ends.
    assert np.isnan(READER(seen).proprioception[1, 2])
    with pytest.raises(ValueError, match=r"^Environment 1: .*not finite, \[.*nan\], in 'arm'\."):
        READER.finite(seen)
    with pytest.raises(ValueError, match=r"^Environment 1:"):
        READER.finite(seen, [0, 1])
    single = {key: value[1] for key, value in seen.items()}
    with pytest.raises(ValueError, match=r"^The observation holds"):
        READER.finite(single)
    with pytest.raises(ValueError, match=r"^Environment 7:"):
        READER.finite(single, [7])
    assert np.isfinite(READER.finite(seen, [0, 2]).proprioception).all()


def test_the_environment_with_wrong_frames_is_named() -> None:
    floats = spaces.Box(0, 1, (16, 16, 3), np.float32)
    frames = np.zeros((3, 16, 16, 3), np.float32)
    frames[2, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"^Environment 2: The frames hold values that are not"):
        ObservationReader(floats, 16, None, {})(frames)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"camera": np.zeros((3, 16, 3, 16), np.uint8)}, r"'camera' of shape \(16, 16, 3\)"),
        ({"camera": np.zeros((2, 16, 16, 3), np.uint8)}, "batches of different sizes"),
        ({"camera": None}, r"array of shape \(\)"),
        ({"arm": np.zeros((3, 4))}, r"'arm' of shape \(3,\)"),
        ({"arm": np.zeros((3, 1, 3))}, r"not an array of shape \(3, 1, 3\)"),
    ],
)
def test_observations_of_another_shape_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        READER({**observations(3), **change})


def test_a_missing_last_observation_is_told() -> None:
    infos: list[dict[str, Any]] = [{}, {"terminal_observation": 5}, {}]
    assert last_observations(infos, np.array([False, True, False])) == {1: 5}
    with pytest.raises(ValueError, match=r"^Environment 2 ended.*'terminal_observation'"):
        last_observations(infos, np.array([False, True, True]))
