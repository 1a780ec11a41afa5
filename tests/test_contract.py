"""What holds for every variant: build, update, save, load, resume, wrap, card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

from core_repr import CoReWorldModel, CoReWrapper, load_agent
from core_repr.agent import SequenceAlgorithm, algorithm_of
from core_repr.config import (
    VARIANTS,
    CoReConfig,
    FeedForwardSACConfig,
    QTOptConfig,
    SACConfig,
    make_variant,
    variant_of,
)
from core_repr.environments import EnvironmentChoice
from core_repr.training import Schedule, resume, train
from core_repr.world_model.objectives import Objective

PIXELS = "core-repr-tests/Pixels-v0"


@pytest.fixture(params=VARIANTS)
def config(
    request: pytest.FixtureRequest,
    tiny_config: Callable[..., CoReConfig],
    make_pairs: Callable[[CoReConfig], CoReConfig],
) -> CoReConfig:
    """A tiny config of the variant."""
    made = make_variant(tiny_config(agent={"sequence_length": 6}), request.param)
    if isinstance(made.agent, SACConfig):
        return made
    # Its settings are its own.
    small: dict[str, Any] = {"critic_layers": (16,), "batch_size": 4, "learning_starts": 16}
    if isinstance(made.agent, FeedForwardSACConfig):
        small["actor_layers"] = (16,)
    made = made.replace(agent=replace(made.agent, **small))
    return make_pairs(made) if getattr(made.agent, "similarity", None) else made


@pytest.fixture
def agent(config: CoReConfig, make_pixels: Callable[..., gym.Env[Any, Any]]) -> SequenceAlgorithm:
    """An agent of the variant that has learned a little."""
    torch.manual_seed(0)
    algorithm = algorithm_of(config)
    env = make_pixels(frame_size=config.world_model.frame_size)
    return algorithm("CoRePolicy", env, config, seed=0, device="cpu").learn(40)


def test_it_learns_and_logs_the_terms_that_there_are(
    config: CoReConfig, agent: SequenceAlgorithm
) -> None:
    before = {name: p.clone() for name, p in agent.policy.named_parameters()}
    for _ in range(2):
        batch = agent._sample()
        # There are terminations to learn from.
        agent.update(batch._replace(terminated=torch.ones_like(batch.terminated)))
    agent.read_losses()
    untouched = {n for n, p in agent.policy.named_parameters() if torch.equal(p, before[n])}
    # Everything that is built learns, but biases whose gradient happens to be zero.
    assert not [name for name in untouched if name.endswith("weight")]
    logged = {name.removeprefix("train/") for name in agent.logger.name_to_value}
    names = {objective.name for objective in agent.world_model.objectives.values()}
    assert len(names) == sum(term is not None for term in vars(config.objectives).values())
    assert names == logged & {kind.name for kind in Objective.__subclasses__()}
    assert logged & {"critic_loss", "value_loss"}
    assert ("actor_loss" in logged) == (not isinstance(config.agent, QTOptConfig))
    assert (agent.world_model.dynamics.prior_mlp is not None) == config.objectives.use_prior


def test_the_first_of_the_learners_latents_is_the_one_that_acting_has(
    agent: SequenceAlgorithm,
) -> None:
    model, side = agent.world_model, agent.config.world_model.frame_size
    frames = torch.randint(256, (6, 2, side, side, 3), dtype=torch.uint8)
    actions = 2 * torch.rand(6, 2, 2) - 1
    is_first = torch.zeros(6, 2, dtype=torch.bool)
    is_first[0] = is_first[3, 1] = True
    noise = model.noise(torch.Generator().manual_seed(0), 6, 2)
    with torch.no_grad():
        _, posterior = model.observe(frames, actions, is_first, noise)
        state = model.initial_state(2)
        for t in range(6):
            step = type(noise)(*(draws[t] for draws in noise))
            state = model.step(state, actions[max(t - 1, 0)], frames[t], is_first[t], step)
            torch.testing.assert_close(state.features, posterior.features[t], atol=1e-4, rtol=0)


def test_it_is_saved_and_loaded_and_acts_the_same(
    config: CoReConfig, agent: SequenceAlgorithm, tmp_path: Path
) -> None:
    agent.save(tmp_path / "agent")
    algorithm = algorithm_of(config)
    loaded = algorithm.load(tmp_path / "agent", device="cpu")
    for name, tensor in agent.policy.state_dict().items():
        assert torch.equal(tensor, loaded.policy.state_dict()[name]), name
    side = config.world_model.frame_size
    loaded.set_env(gym.make(PIXELS, frame_size=side))
    loaded.learn(40)
    assert loaded.updates > agent.updates
    loaded = load_agent(tmp_path / "agent", device="cpu")
    assert type(loaded) is algorithm
    model = CoReWorldModel.from_pretrained(tmp_path / "agent")
    assert model.config == agent.config
    frames = np.random.default_rng(0).integers(256, size=(3, 2, side, side, 3), dtype=np.uint8)
    states = [None, None]
    for frame in frames:
        actions = []
        for row, each in enumerate((agent, loaded)):
            action, states[row] = each.predict(frame, states[row], deterministic=True)
            actions.append(action)
        assert np.array_equal(*actions)


def test_it_makes_latents_for_any_agent(agent: SequenceAlgorithm, tmp_path: Path) -> None:
    agent.world_model.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "objective" not in card.lower()
    assert VARIANTS[variant_of(agent.config)].about in " ".join(card.split())
    assert f"latent state of {agent.world_model.latent_size} numbers" in " ".join(card.split())
    side = agent.config.world_model.frame_size
    env = CoReWrapper(gym.make(PIXELS, frame_size=side), tmp_path / "model")
    assert env.observation_space.shape == (agent.world_model.latent_size,)
    SAC("MlpPolicy", env, learning_starts=5, batch_size=4).learn(12)


@pytest.mark.slow
def test_a_training_of_it_is_resumed(config: CoReConfig, tmp_path: Path) -> None:
    choice = EnvironmentChoice(PIXELS, {}, {}, {})
    schedule = Schedule(70, 0, 4, 1)
    train(choice, config.replace(environment=None), tmp_path / "run", schedule, "cpu")
    resumed = resume(tmp_path / "run", 110, "cpu")
    assert resumed.env_steps >= 110
    saved = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert saved["objectives"].keys() == {
        *("frames", "kl", "reward", "inverse_dynamics", "continuation")
    }
