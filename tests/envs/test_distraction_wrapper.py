from __future__ import annotations

import copy

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3
from stable_baselines3.common.vec_env import SubprocVecEnv

from core_repr import DistractionWrapper

SKYLESS = "Reacher-v5"
TASKS = ["HalfCheetah-v5", "Hopper-v5", SKYLESS, "InvertedPendulum-v5"]


@pytest.fixture
def wrap():
    made = []

    def wrapped(env_id: str, difficulty: str | None, make=None, **arguments) -> DistractionWrapper:
        arguments = {"frame_size": 16, "num_videos": 1, **arguments}
        made.append(DistractionWrapper(gym.make(env_id, **make or {}), difficulty, **arguments))
        return made[-1]

    yield wrapped
    for env in made:
        env.close()


def play(env: gym.Env, seed: int, steps: int, **options) -> tuple[np.ndarray, list[float]]:
    env.action_space.seed(seed)
    frames, rewards = [env.reset(seed=seed, options=options or None)[0]], []
    for _ in range(steps):
        frame, reward, *_ = env.step(env.action_space.sample())
        frames.append(frame)
        rewards.append(reward)
    return np.stack(frames), rewards


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_frames_and_the_task_stays_as_it_is(wrap, task) -> None:
    arguments = {"dynamic": True, "lighting": True}
    frames, rewards = play(wrap(task, "hard", **arguments), 3, 6)
    again, _ = play(wrap(task, "hard", **arguments), 3, 6)
    np.testing.assert_array_equal(frames, again)
    others, _ = play(wrap(task, "hard", **arguments), 4, 6)
    assert np.abs(frames.astype(int) - others).mean() > 5
    own = gym.make(task)
    own.action_space.seed(3)
    own.reset(seed=3)
    assert rewards == [own.step(own.action_space.sample())[1] for _ in range(6)]


@pytest.mark.parametrize("task", TASKS)
def test_a_clean_frame_is_what_the_environment_shows_by_itself(wrap, task) -> None:
    make = {"render_mode": "rgb_array", "width": 64, "height": 64}
    env = wrap(task, "hard", make, dynamic=True, clean_frames=True, frame_size=64)
    _, info = env.reset(seed=0)
    # Its own pictures have shadows and reflections, and the light that casts them is brighter.
    own = env.unwrapped.render().astype(int)
    clean = info["clean_frame"].astype(int)
    assert np.abs(own - clean).mean() < np.abs(own - clean[:, ::-1]).mean()
    assert np.abs(own - clean).mean() < 40
    plain, _ = wrap(task, None, make, frame_size=64).reset(seed=0)
    np.testing.assert_array_equal(info["clean_frame"], plain)


def test_textures_vary_between_episodes_alone(wrap) -> None:
    only = {"background": False, "camera": False, "color": False, "clean_frames": True}
    env = wrap("HalfCheetah-v5", "hard", textures=True, dynamic=True, frame_size=32, **only)
    assert set(env.distractions) == {"textures"}
    shown = []
    for seed in (0, 1, 0):
        frame, info = env.reset(seed=seed)
        shown.append(frame.astype(int) - info["clean_frame"])
    np.testing.assert_array_equal(shown[0], shown[2])
    assert np.abs(shown[0]).mean() > 0.5 and np.abs(shown[0] - shown[1]).mean() > 0.5
    both = wrap("HalfCheetah-v5", "hard", textures=True, dynamic=True)
    both.reset(seed=2)
    plain = wrap("HalfCheetah-v5", "hard", dynamic=True)
    plain.reset(seed=2)
    np.testing.assert_array_equal(both.distractions["color"].rgb, plain.distractions["color"].rgb)
    assert both.describe_distractions({"difficulty": "hard", "textures": True}) == (
        "hard, static, with textures"
    )


def test_the_simulator_stays_as_it_was(wrap) -> None:
    env = wrap("Ant-v5", "hard", dynamic=True, lighting=True)
    model, data = env.unwrapped.model, env.unwrapped.data

    def state() -> list[bytes]:
        arrays = (model.mat_rgba, model.geom_rgba, model.light_diffuse, model.light_active)
        headlight = model.vis.headlight
        arrays += (headlight.ambient, headlight.diffuse, headlight.specular)
        return [array.tobytes() for array in arrays]

    before = state()
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert state() == before
    poses = data.cam_xpos.copy(), data.cam_xmat.copy(), data.light_xdir.copy()
    mujoco.mj_camlight(model, data)
    for pose, expected in zip(poses, (data.cam_xpos, data.cam_xmat, data.light_xdir), strict=True):
        np.testing.assert_allclose(pose, expected, atol=1e-3)


def test_a_scale_between_the_levels(wrap) -> None:
    only = {"background": False, "camera": False}
    shown = []
    for scale in (None, 0.3, 0.1, 0):
        env = wrap("Hopper-v5", "hard", scale=scale, clean_frames=True, **only)
        frame, info = env.reset(seed=1)
        shown.append(frame.astype(int) - info["clean_frame"])
    np.testing.assert_array_equal(shown[0], shown[1])
    assert 0 < np.abs(shown[2]).mean() < np.abs(shown[1]).mean()
    assert not shown[3].any()
    told = env.describe_distractions({"difficulty": "hard", "scale": 0.15})
    assert told == "hard, scale 0.15, static"


def test_switching_one_off_leaves_the_others(wrap) -> None:
    every = wrap("Hopper-v5", "medium", dynamic=True, lighting=True)
    some = wrap("Hopper-v5", "medium", dynamic=True, background=False, color=False)
    for env in (every, some):
        play(env, 5, 4)
    assert set(some.distractions) == {"camera"}
    cameras = [env.distractions["camera"] for env in (every, some)]
    assert cameras[0].spherical == cameras[1].spherical and cameras[0].roll == cameras[1].roll


def test_other_distractions_for_the_same_episode(wrap) -> None:
    env = wrap("HalfCheetah-v5", "hard", dynamic=True)
    frames, rewards = play(env, 0, 3)
    others, same = play(env, 0, 3, distraction_seed=7)
    assert rewards == same and np.abs(frames.astype(int) - others).mean() > 5
    again, _ = play(env, 0, 3, distraction_seed=7)
    np.testing.assert_array_equal(others, again)
    with pytest.raises(TypeError, match="distraction_seed"):
        env.reset(options={"distraction_seed": "x"})


def test_distractions_move_thirty_times_a_second(wrap) -> None:
    # 0.05 s a step: three moves in two steps.
    env = wrap("HalfCheetah-v5", "easy", dynamic=True)
    moves = 0
    env.reset(seed=0)

    def step() -> None:
        nonlocal moves
        moves += 1

    env.distractions = {"color": type("Counter", (), {"step": staticmethod(step)})()}
    for _ in range(20):
        env.step(env.action_space.sample())
    assert env.unwrapped.dt == 0.05 and moves == 30


def test_training_and_validation_show_other_clips(wrap) -> None:
    arguments = {"camera": False, "color": False}
    train, val = (
        play(wrap("Hopper-v5", "easy", split=split, **arguments), 0, 0)[0]
        for split in ("train", "val")
    )
    assert np.abs(train.astype(int) - val).mean() > 5


def test_the_observation_beside_the_frame(wrap) -> None:
    env = wrap("Hopper-v5", "easy", render_only=False)
    observation, _ = env.reset(seed=0)
    assert set(observation) == {"pixels", "state"} and observation in env.observation_space
    np.testing.assert_array_equal(observation["state"], env.env.reset(seed=0)[0])
    with pytest.raises(ValueError, match="has a 'pixels' already"):
        DistractionWrapper(env, "easy", render_only=False)


def test_pictures_for_people(wrap) -> None:
    env = wrap("Hopper-v5", "easy", {"render_mode": "rgb_array"})
    with pytest.raises(gym.error.ResetNeeded):
        env.render()
    env.reset(seed=0)
    assert env.render().shape == (480, 480, 3)


def test_what_the_camera_turns_about(wrap) -> None:
    for look_at in ("torso", (0.0, 0.0, 1.0)):
        env = wrap("Ant-v5", "hard", camera_name="track", look_at=look_at)
        frame, _ = env.reset(seed=0)
        assert frame.std() > 0
    # A camera that the model does not have looks there too.
    pendulum = wrap("InvertedPendulum-v5", None, frame_size=64)
    at_the_cart = wrap("InvertedPendulum-v5", None, frame_size=64, look_at="pole")
    assert (pendulum.reset(seed=0)[0] != at_the_cart.reset(seed=0)[0]).any()


def test_it_is_recorded_and_made_again(wrap) -> None:
    env = wrap(
        "Hopper-v5",
        "medium",
        dynamic=True,
        surfaces={"floor": np.float32(0)},
        look_at=np.array([0, 0, 1]),
    )
    frame, _ = env.reset(seed=2)
    spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
    again = gym.make(spec)
    np.testing.assert_array_equal(again.reset(seed=2)[0], frame)
    again.close()


def test_checkers_pass(wrap) -> None:
    env = wrap("HalfCheetah-v5", "medium", dynamic=True, frame_size=64)
    check_env_for_sb3(env, warn=False)
    check_env(env, skip_render_check=True)


def test_environments_side_by_side() -> None:
    def make() -> gym.Env:
        return DistractionWrapper(gym.make("Hopper-v5"), "easy", num_videos=1, frame_size=16)

    envs = SyncVectorEnv([make, make], autoreset_mode=AutoresetMode.NEXT_STEP)
    frames, _ = envs.reset(seed=[4, 5])
    alone = make()
    np.testing.assert_array_equal(frames[1], alone.reset(seed=5)[0])
    envs.close()
    alone.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"difficulty": "extreme"}, "difficulty='extreme' is unknown"),
        ({"camera_name": "trak"}, "no camera 'trak': did you mean track?"),
        ({"look_at": "tors"}, "no body 'tors': did you mean torso?"),
        ({"look_at": (0, 1)}, "expected a body's name or three numbers"),
        ({"look_at": ("a", "b", "c")}, "expected a body's name or three numbers"),
        ({"hidden_groups": [9]}, "expected a list of numbers from 0 to 5"),
        ({"hidden_groups": 2}, "expected a list of numbers from 0 to 5"),
        ({"surfaces": {"floor": "x"}}, "expected a dictionary"),
        ({"surfaces": ["floor"]}, "expected a dictionary"),
        ({"camera_name": 1}, "expected the name of a camera"),
        ({"obs_key": None}, "expected a name"),
        ({"surfaces": {"flor": 0.0}}, "did you mean floor?"),
        ({"frame_size": 0}, "frame_size=0 is too small"),
        ({"background": False, "camera": False, "color": False}, "nothing to distract with"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(arguments, message) -> None:
    env = gym.make("Hopper-v5")
    with pytest.raises(ValueError, match=message):
        DistractionWrapper(env, **{"difficulty": "easy", **arguments})


def test_an_environment_without_a_simulator_is_refused() -> None:
    with pytest.raises(ValueError, match="no MuJoCo simulator that is known"):
        DistractionWrapper(gym.make("Pendulum-v1"), "easy")


def test_steps_that_cannot_be_made(wrap) -> None:
    env = wrap("Hopper-v5", "easy")
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.action_space.sample())
    env.reset(seed=0)
    with pytest.raises(ValueError, match="is not finite"):
        env.step(np.full(3, np.nan, np.float32))


class Rebuilt(gym.Env):
    """Makes its simulator anew at each reset, and during an episode on request."""

    observation_space = gym.spaces.Box(-1, 1, (1,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def __init__(self) -> None:
        self.build()

    def build(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(
            "<mujoco><worldbody><light/><geom type='sphere' size='0.3'/></worldbody></mujoco>"
        )
        self.data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, self.data)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.build()
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if action[0] > 0:
            self.build()
        mujoco.mj_step(self.model, self.data)
        return np.zeros(1, np.float32), 0.0, False, False, {}


def test_a_model_may_be_replaced_between_episodes_alone() -> None:
    env = DistractionWrapper(Rebuilt(), "hard", num_videos=1, frame_size=16)
    frames = [env.reset(seed=1)[0] for _ in range(2)]
    np.testing.assert_array_equal(*frames)
    env.step(np.array([-1.0]))
    with pytest.raises(RuntimeError, match="replaced its MuJoCo model"):
        env.step(np.array([1.0]))
    env.close()


def _hopper() -> DistractionWrapper:
    return DistractionWrapper(gym.make("Hopper-v5"), "hard", dynamic=True, frame_size=16)


@pytest.mark.slow
def test_processes_give_the_same_frames() -> None:
    alone = _hopper()
    expected = [alone.reset(seed=seed)[0] for seed in (5, 6)]
    alone.close()
    envs = AsyncVectorEnv([_hopper] * 2, context="spawn")
    np.testing.assert_array_equal(envs.reset(seed=[5, 6])[0], expected)
    envs.step(envs.action_space.sample())
    envs.close()
    venv = SubprocVecEnv([_hopper] * 2, start_method="spawn")
    venv.seed(5)
    np.testing.assert_array_equal(venv.reset(), expected)
    venv.close()


def test_a_copy_is_reset_before_it_steps(wrap) -> None:
    env = wrap("Hopper-v5", "medium", dynamic=True)
    env.reset(seed=1)
    twin = copy.deepcopy(env)
    with pytest.raises(gym.error.ResetNeeded):
        twin.step(twin.action_space.sample())
    frames, _ = play(env, 2, 3)
    np.testing.assert_array_equal(play(twin, 2, 3)[0], frames)
    twin.close()
