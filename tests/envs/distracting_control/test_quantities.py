import gymnasium as gym
import numpy as np
import pytest

import core_repr
from core_repr.envs import PAPER_TASKS


def make(task: str = "cartpole-swingup", **arguments: object) -> gym.Env:
    assert core_repr.__version__
    return gym.make(f"distracting_control/{task}-v0", physics_state=True, **arguments)


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_every_quantity_has_a_name_and_is_finite(task: str) -> None:
    env = make(task)
    values = env.reset(seed=0)[1]["physics_quantities"]
    names = env.unwrapped.quantities.names
    assert values.shape == (len(names),) and values.dtype == np.float64
    assert np.isfinite(values).all() and len(set(names)) == len(names)
    env.close()


def test_a_pole_that_turns_is_given_by_its_direction() -> None:
    env = make()
    assert env.unwrapped.quantities.names == [
        "slider",
        "cos hinge_1",
        "sin hinge_1",
        "slider velocity",
        "hinge_1 velocity",
    ]
    env.reset(seed=0)
    env.unwrapped._physics.set_state(np.array([0.3, np.pi / 6, -1.0, 2.0]))
    expected = [0.3, np.sqrt(3) / 2, 0.5, -1, 2]
    np.testing.assert_allclose(env.unwrapped.quantities(), expected)
    env.close()


def test_where_the_target_is_belongs_to_reacher_alone() -> None:
    env = make("reacher-easy")
    assert env.unwrapped.quantities.names[-3:] == ["wrist velocity", "target x", "target y"]
    places = [env.reset(seed=seed)[1]["physics_quantities"][-2:] for seed in range(5)]
    # dm_control puts it between 0.05 and 0.2 m from the arm's base, and nowhere twice.
    assert all(0.05 <= np.hypot(*place) <= 0.2 for place in places)
    assert len({tuple(place) for place in places}) == 5
    moved = env.step(env.action_space.high)[4]["physics_quantities"]
    np.testing.assert_array_equal(moved[-2:], places[-1])
    env.close()


def test_an_episode_can_be_seen_through_other_distractions() -> None:
    env = make(difficulty="medium", dynamic=True, num_videos=2)

    def play(options: dict[str, int] | None) -> tuple[np.ndarray, np.ndarray]:
        frame, info = env.reset(seed=1, options=options)
        frames, states = [frame], [info["physics_state"]]
        for _ in range(3):
            frame, _, _, _, info = env.step(np.array([0.5], np.float32))
            frames.append(frame)
            states.append(info["physics_state"])
        return np.stack(frames), np.stack(states)

    plain, state = play(None)
    other, same_state = play({"distraction_seed": 5})
    again, _ = play({"distraction_seed": 5})
    another, _ = play({"distraction_seed": 6})
    assert np.array_equal(state, same_state) and np.array_equal(other, again)
    assert not np.array_equal(plain, other) and not np.array_equal(other, another)
    with pytest.raises(ValueError, match="options='camera_seed' is unknown"):
        env.reset(options={"camera_seed": 3})
    env.close()
