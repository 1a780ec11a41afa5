from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVectorWrapper, CoReWrapper

MakeEnv = Callable[..., gym.Env[Any, Any]]
ACTIONS = np.zeros((3, 2), np.float32)


@pytest.fixture
def make_envs(ending_pixels: Callable[..., Any]) -> Callable[..., SyncVectorEnv]:
    def make(mode: AutoresetMode = AutoresetMode.NEXT_STEP, lengths: Any = (2, 3, 3)) -> Any:
        return SyncVectorEnv(
            [lambda own=own: ending_pixels([own]) for own in lengths], autoreset_mode=mode
        )

    return make


def test_spaces_and_what_passes_unchanged(
    make_envs: Callable[..., SyncVectorEnv], model: CoReWorldModel
) -> None:
    pixels = make_envs()
    envs = CoReVectorWrapper(pixels, model)
    assert envs.single_observation_space == gym.spaces.Box(-np.inf, np.inf, (14,), np.float32)
    assert envs.observation_space.shape == (3, 14) and envs.num_envs == 3
    assert envs.action_space == pixels.action_space and envs.model is model
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    actions = np.array([[-2, 3], [0, 0], [1, 1]], np.float32)
    observations, rewards, terminations, truncations, _ = envs.step(actions)
    assert observations in envs.observation_space
    assert rewards.tolist() == [1, 0, 2] and not (terminations | truncations).any()
    assert np.array_equal(pixels.envs[0].unwrapped.episodes[0].actions[0], actions[0])  # type: ignore[attr-defined]
    envs.close()


def test_what_was_returned_does_not_change_any_more(
    make_envs: Callable[..., SyncVectorEnv], model: CoReWorldModel
) -> None:
    envs = CoReVectorWrapper(make_envs(AutoresetMode.SAME_STEP), model)
    returned = [envs.reset(seed=0)[0]]
    copies = [returned[0].copy()]
    for _ in range(7):
        observations, _, _, _, infos = envs.step(ACTIONS)
        returned += [observations, *(o for o in infos.get("final_obs", ()) if o is not None)]
        copies += [array.copy() for array in returned[len(copies) :]]
    for array, copy in zip(returned, copies, strict=True):
        assert np.array_equal(array, copy)


def test_seeds_for_each_environment(
    make_envs: Callable[..., SyncVectorEnv], model: CoReWorldModel
) -> None:
    envs = CoReVectorWrapper(make_envs(), model, features="sample")
    counted, listed = envs.reset(seed=5)[0], envs.reset(seed=[7, 6, 5])[0]
    # The place in a batch has a part in rounding, as below.
    np.testing.assert_allclose(counted[::-1], listed, atol=1e-5)
    unseeded = envs.reset(seed=[5, None, 7])[0]
    assert np.isclose(unseeded, counted, atol=1e-5).all(1).tolist() == [True, False, True]


def test_a_masked_reset_seeds_only_its_own(
    make_envs: Callable[..., SyncVectorEnv], model: CoReWorldModel
) -> None:
    envs = CoReVectorWrapper(make_envs(AutoresetMode.DISABLED, (8, 8, 8)), model, features="sample")
    plain = CoReVectorWrapper(
        make_envs(AutoresetMode.DISABLED, (8, 8, 8)), model, features="sample"
    )
    for each in (envs, plain):
        each.reset(seed=0)
        each.step(ACTIONS)
    envs.reset(seed=9, options={"reset_mask": np.array([False, True, False])})
    seen, expected = envs.step(ACTIONS)[0], plain.step(ACTIONS)[0]
    assert np.isclose(seen, expected, atol=1e-5).all(1).tolist() == [True, False, True]


def test_pixels_and_other_observations_are_kept(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    class WithPosition(gym.ObservationWrapper[Any, Any, Any]):
        """Pixels by another name, and a number that tells the steps of the episode."""

        def __init__(self, env: gym.Env[Any, Any]) -> None:
            super().__init__(env)
            position = gym.spaces.Box(0, 9, (1,), np.float32)
            self.observation_space = gym.spaces.Dict(
                camera=env.observation_space, position=position, other=position
            )

        def observation(self, observation: Any) -> Any:
            steps = np.array([len(self.unwrapped.episodes[-1].actions)], np.float32)  # type: ignore[attr-defined]
            return {"camera": observation, "position": steps, "other": steps}

    options: dict[str, Any] = {"pixels_key": "camera", "keep": ["position", "camera"]}

    def make() -> WithPosition:
        return WithPosition(gym.wrappers.TimeLimit(make_pixels(), 2))

    envs = CoReVectorWrapper(
        SyncVectorEnv([make, make], autoreset_mode=AutoresetMode.SAME_STEP), model, **options
    )
    assert set(envs.single_observation_space.spaces) == {"latent", "camera", "position"}  # type: ignore[attr-defined]
    assert envs.reset(seed=0)[0] in envs.observation_space
    observations, _, _, _, _ = envs.step(ACTIONS[:2])
    assert observations["position"].tolist() == [[1], [1]]
    observations, _, _, over, infos = envs.step(ACTIONS[:2])
    assert over.all() and observations in envs.observation_space
    assert observations["position"].tolist() == [[0], [0]]
    for final in infos["final_obs"]:
        assert final in envs.single_observation_space and final["position"] == [2]

    # Just as a single one has it.
    env = CoReWrapper(make(), model, **options)
    assert env.observation_space == envs.single_observation_space
    env.reset(seed=0)
    env.step(ACTIONS[0])
    last = env.step(ACTIONS[0])[0]
    for key in last:
        np.testing.assert_allclose(last[key], infos["final_obs"][0][key], atol=1e-5)


def test_the_predicted_reward_follows_the_latents(
    make_envs: Callable[..., SyncVectorEnv], model: CoReWorldModel
) -> None:
    plain, longer = (
        CoReVectorWrapper(make_envs(), model, predicted_reward=more) for more in (False, True)
    )
    assert longer.single_observation_space.shape == (15,)
    plain.reset(seed=0)
    longer.reset(seed=0)
    latents, with_reward = plain.step(ACTIONS)[0], longer.step(ACTIONS)[0]
    assert np.array_equal(with_reward[:, :-1], latents)
    with torch.no_grad():
        expected = model.objectives.reward.head(torch.from_numpy(latents))
    np.testing.assert_allclose(with_reward[:, -1:], expected, atol=1e-6)


def test_statistics_of_episodes_on_top(
    make_envs: Callable[..., SyncVectorEnv], model: CoReWorldModel
) -> None:
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        envs = RecordEpisodeStatistics(CoReVectorWrapper(make_envs(mode), model))
        envs.reset(seed=0)
        lengths = []
        for _ in range(6):
            infos = envs.step(ACTIONS)[-1]
            if "episode" in infos:
                lengths += infos["episode"]["l"][infos["_episode"]].tolist()
        assert set(lengths) == {2, 3}


def test_a_vector_made_by_its_name_is_compared_with_the_model_s(model: CoReWorldModel) -> None:
    envs = gym.make_vec("core-repr-tests/Pixels-v0", num_envs=2, vectorization_mode="sync")
    CoReVectorWrapper(envs, model)
    envs = gym.make_vec(
        "core-repr-tests/Pixels-v0", num_envs=2, vectorization_mode="sync", length=3
    )
    with pytest.warns(UserWarning, match="length is 3, not 8") as caught:
        CoReVectorWrapper(envs, model)
    assert caught[0].filename == __file__


def test_a_vector_without_autoreset_mode_is_taken_for_next_step(
    make_envs: Callable[..., SyncVectorEnv], model: CoReWorldModel
) -> None:
    envs = make_envs()
    del envs.metadata["autoreset_mode"]
    with pytest.warns(UserWarning, match=r"autoreset_mode.*NEXT_STEP"):
        wrapped = CoReVectorWrapper(envs, model)
    told = CoReVectorWrapper(make_envs(), model)
    wrapped.reset(seed=0)
    told.reset(seed=0)
    for _ in range(6):
        assert np.array_equal(wrapped.step(ACTIONS)[0], told.step(ACTIONS)[0])


def test_other_things_than_vectors_are_refused(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    with pytest.raises(TypeError, match=r"not a OrderEnforcing.*CoReWrapper"):
        CoReVectorWrapper(make_pixels(), model)  # type: ignore[arg-type]
