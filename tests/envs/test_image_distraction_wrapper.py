from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from core_repr import ImageDistractionWrapper
from core_repr.envs.image.sheet import SheetMount
from core_repr.envs.pace import agent_steps_per_second
from core_repr.wrapping import worn, wrap

GREEN = (100, 200, 100)
ROWS, COLUMNS = 20, 30
ONLY_BACKGROUND = {"camera": False, "color": False, "background_colors": [GREEN]}


class Lawn(gym.Env):
    """A white square walks over a lawn."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, in_dictionary: bool = False) -> None:
        frames = gym.spaces.Box(0, 255, (ROWS, COLUMNS, 3), np.uint8)
        self.in_dictionary = in_dictionary
        other = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = (
            gym.spaces.Dict({"pixels": frames, "place": other}) if in_dictionary else frames
        )
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(4, 12))
        return self._observation(), self._info()

    def step(self, action: Any) -> Any:
        self.place = min(self.place + 1, 20)
        return self._observation(), float(self.place), False, self.place == 20, self._info()

    def render(self) -> NDArray[np.uint8]:
        return self._frame().repeat(4, axis=0).repeat(4, axis=1)

    def _frame(self) -> NDArray[np.uint8]:
        frame = np.full((ROWS, COLUMNS, 3), GREEN, np.uint8)
        frame[5:11, self.place : self.place + 6] = 255
        return frame

    def _observation(self) -> Any:
        place = np.array([self.place], np.float32)
        return {"pixels": self._frame(), "place": place} if self.in_dictionary else self._frame()

    def _info(self) -> dict[str, Any]:
        return {"lawn": (self._frame() == GREEN).all(axis=2)}


gym.register("core-repr-tests/Lawn-v0", Lawn, max_episode_steps=30)


def make(difficulty: str | None, env: gym.Env | None = None, **arguments: Any) -> Any:
    env = gym.make("core-repr-tests/Lawn-v0") if env is None else env
    return ImageDistractionWrapper(env, difficulty, **{"num_videos": 2, **arguments})


def play(env: gym.Env, seed: int | None, steps: int = 5, **options: int) -> NDArray[np.uint8]:
    frames = [env.reset(seed=seed, options=options or None)[0]]
    frames += [env.step(np.zeros(1, np.float32))[0] for _ in range(steps)]
    return np.stack(frames)


def test_a_seed_fixes_the_frames() -> None:
    env = make("hard", dynamic=True, background_colors=[GREEN])
    frames, following = play(env, 3), play(env, None)
    again = make("hard", dynamic=True, background_colors=[GREEN])
    np.testing.assert_array_equal(play(again, 3), frames)
    np.testing.assert_array_equal(play(again, None), following)
    assert np.abs(play(env, 4).astype(int) - frames).mean() > 5
    other = play(env, 3, distraction_seed=1)
    assert np.abs(other.astype(int) - frames).mean() > 5
    np.testing.assert_array_equal(play(env, 3, distraction_seed=1), other)


def test_without_a_level_the_frames_are_the_environments_own() -> None:
    own = play(gym.make("core-repr-tests/Lawn-v0"), 0)
    np.testing.assert_array_equal(play(make(None, background_colors=[GREEN]), 0), own)
    env = make("hard", dynamic=True, background_colors=[GREEN], clean_frames=True)
    frame, info = env.reset(seed=0)
    np.testing.assert_array_equal(info["clean_frame"], own[0])
    assert (frame != own[0]).any()


@pytest.mark.parametrize("key", [{"background_colors": [GREEN]}, {"mask_key": "lawn"}])
def test_clips_replace_the_background_alone(key: dict[str, Any]) -> None:
    env = make("medium", camera=False, color=False, **key)
    own = play(gym.make("core-repr-tests/Lawn-v0"), 0)
    frames = play(env, 0)
    square = (own == 255).all(axis=3)
    np.testing.assert_array_equal(frames[square], own[square])
    clip = env.distractions["background"].frame
    assert clip.shape == (COLUMNS, COLUMNS, 3)
    squeezed = clip[(np.arange(ROWS) * COLUMNS) // ROWS]
    for frame, foreground in zip(frames, square, strict=True):
        np.testing.assert_array_equal(frame[~foreground], squeezed[~foreground])


def test_a_static_episode_stays_and_a_dynamic_one_moves() -> None:
    for dynamic in (False, True):
        env = make("hard", dynamic=dynamic, **{**ONLY_BACKGROUND, "color": True, "camera": True})
        play(env, 0, 0)
        camera, tint = env.distractions["camera"], env.distractions["color"]
        before = (camera.spherical, camera.roll, *tint.shift)
        play(env, 0, 3)
        assert ((camera.spherical, camera.roll, *tint.shift) == before) is not dynamic


@pytest.mark.parametrize(("fps", "moves"), [(None, 8), (15, 16), (60, 4), (50, 4)])
def test_time_is_that_of_the_environments_pictures(fps: int | None, moves: int) -> None:
    env = Lawn()
    env.metadata = {**Lawn.metadata, "render_fps": fps}
    wrapped = make("hard", env, dynamic=True, **ONLY_BACKGROUND)
    wrapped.reset(seed=0)
    seen = []
    wrapped.distractions["background"].step = lambda: seen.append(1)
    for _ in range(8):
        wrapped.step(np.zeros(1))
    assert len(seen) == moves


def test_time_goes_on_while_a_wrapper_holds_an_action() -> None:
    class ActionRepeat(gym.Wrapper):
        action_repeat = 3

    env = Lawn()
    env.metadata = {**Lawn.metadata, "render_fps": 60}
    held = ActionRepeat(gym.wrappers.TimeLimit(ActionRepeat(env), 20))
    assert agent_steps_per_second(env, 30) == 60
    assert agent_steps_per_second(held, 30) == pytest.approx(60 / 9)
    held.metadata = {**env.metadata, "render_fps": 20}
    assert agent_steps_per_second(held, 30) == 20
    assert agent_steps_per_second(ActionRepeat(Lawn()), 30) == 10
    wrapped = make("hard", ActionRepeat(env), dynamic=True, **ONLY_BACKGROUND)
    wrapped.reset(seed=0)
    seen = []
    wrapped.distractions["background"].step = lambda: seen.append(1)
    for _ in range(8):
        wrapped.step(np.zeros(1))
    assert len(seen) == 12  # 30 times in a second, 8 steps of 3/60 s


def test_in_a_dictionary_the_rest_stays() -> None:
    env = make("hard", Lawn(in_dictionary=True))
    assert env.observation_space == Lawn(in_dictionary=True).observation_space
    observation, _ = env.reset(seed=0)
    own, _ = Lawn(in_dictionary=True).reset(seed=0)
    assert observation["place"] == own["place"]
    assert (observation["pixels"] != own["pixels"]).any()


def test_the_rendered_picture_shows_what_the_frame_shows() -> None:
    own = gym.make("core-repr-tests/Lawn-v0", render_mode="rgb_array")
    env = make("hard", own, background_colors=[GREEN])
    with pytest.raises(gym.error.ResetNeeded):
        env.render()
    frame, _ = env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (80, 120, 3)
    small = picture.reshape(20, 4, 30, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - frame).mean() < np.abs(small - frame[:, ::-1]).mean() / 4


def test_the_camera_by_itself_sees_the_picture_as_it_is() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (20, 30, 3)).astype(np.float32)
    seen, inside = SheetMount().warp(picture)
    np.testing.assert_allclose(seen, picture, atol=1e-2)
    assert inside.all()


def test_the_camera_turns_nears_and_sees_from_the_side() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (20, 20, 3)).astype(np.float32)
    mount = SheetMount()
    own = -mount.begin()[1]
    mount.put((own, -math.pi / 2, math.pi / 2), math.pi / 2)
    quarter = mount.warp(picture)[0]
    assert min(abs(quarter - np.rot90(picture, k)).max() for k in (1, 3)) < 0.1
    # From half the distance, a point is twice as far from the middle.
    marked = np.zeros((200, 200, 1), np.float32)
    marked[70, 120] = 1
    mount.put((own / 2, -math.pi / 2, math.pi / 2), 0.0)
    rows, columns = np.nonzero(mount.warp(marked)[0][..., 0] > 0.3)
    np.testing.assert_allclose((rows.mean(), columns.mean()), (40.5, 140.5), atol=1)
    # From the right, what is on the right is nearer and thus larger, and the edge shows.
    mount.put((own, -math.pi / 2 + 0.5, math.pi / 2), 0.0)
    _, inside = mount.warp(picture)
    assert not inside[:, 0].any() and inside[10, 10]
    stripes = np.zeros((200, 200, 1), np.float32)
    stripes[80:120, [40, 159]] = 1
    seen = mount.warp(stripes)[0][..., 0]
    assert (seen[:, 100:] > 0.3).sum(axis=0).max() > (seen[:, :100] > 0.3).sum(axis=0).max()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"difficulty": "huge"}, "difficulty='huge' is unknown"),
        ({"camera": False, "color": False, "background": False}, "nothing to distract with"),
        ({"camera": False, "color": False}, "nor mask_key says what is background"),
        ({"background_colors": [[1, 2]]}, "expected a list of colours"),
        ({"background_colors": []}, "expected a list of colours"),
        ({"background_colors": "green"}, "expected a list of colours"),
        ({"background_colors": [[0, 0, 256]]}, "expected a list of colours"),
        ({"background_colors": [GREEN], "mask_key": "lawn"}, "leave one of them out"),
        ({"tolerance": 256}, "at most 255"),
        ({"mask_key": 3}, "mask_key=3 is not valid"),
        ({"pixels_key": None}, "pixels_key=None is not valid"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        make(**{"difficulty": "easy", **arguments})
    assert "\n" not in str(error.value)


def test_what_has_no_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="AddRenderObservation gives an environment its pixels"):
        make("easy", gym.make("Pendulum-v1"))
    with pytest.raises(ValueError, match="no 'camera': choose pixels_key among pixels, place"):
        make("easy", Lawn(in_dictionary=True), pixels_key="camera")
    with pytest.raises(ValueError, match="info has no 'mask', which mask_key names: it has lawn"):
        make("easy", mask_key="mask").reset(seed=0)
    with pytest.raises(gym.error.ResetNeeded):
        make("easy").step(np.zeros(1))


def test_the_checkers_of_gymnasium_and_sb3_have_nothing_to_say() -> None:
    check_env(make("hard", Lawn(), dynamic=True), skip_render_check=True)
    check_env_for_sb3(make("hard", dynamic=True))


def test_the_spec_records_it() -> None:
    env = make("medium", dynamic=True, background_colors=np.array([GREEN]))
    again = gym.make(env.spec)
    np.testing.assert_array_equal(play(again, 2), play(env, 2))
    (recorded,), others = worn(env.spec)
    assert not others and recorded.name == "core_repr.ImageDistractionWrapper"
    assert recorded.arguments == {
        "difficulty": "medium",
        "dynamic": True,
        "num_videos": 2,
        "background_colors": [[100, 200, 100]],
    }
    rebuilt = wrap(gym.make("core-repr-tests/Lawn-v0"), [recorded])
    np.testing.assert_array_equal(play(rebuilt, 2), play(env, 2))


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_many_at_once(vector: Any) -> None:
    envs = vector([lambda: make("hard", Lawn(), dynamic=True)] * 2)
    frames, _ = envs.reset(seed=[5, 6])
    np.testing.assert_array_equal(frames[1], play(make("hard", Lawn(), dynamic=True), 6, 0)[0])
    envs.close()


def test_in_words() -> None:
    describe = ImageDistractionWrapper.describe_distractions
    assert describe({"difficulty": None}) == "no distractions"
    plain = {"difficulty": "hard", "dynamic": True}
    assert describe(plain) == "hard, dynamic, camera and colours only, in the picture"
    assert describe({**plain, "mask_key": "x"}) == "hard, dynamic, in the picture"
