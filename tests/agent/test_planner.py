"""Planning in what the world model imagines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from core_repr.agent import CoReSAC, Planner, SequenceAlgorithm, algorithm_of
from core_repr.config import CoReConfig, ImaginationConfig, make_variant
from core_repr.evaluation import evaluate

Make = Callable[..., SequenceAlgorithm]


@pytest.fixture
def make_agent(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> Make:
    def make(variant: str = "core", **settings: Any) -> SequenceAlgorithm:
        config = make_variant(tiny_config(agent=settings), variant)
        env = make_pixels(frame_size=config.world_model.frame_size)
        return algorithm_of(config)("CoRePolicy", env, config, seed=0, device="cpu")

    return make


@pytest.mark.parametrize("judge", ["critic", "value"])
def test_a_plan_is_worth_its_rewards_and_what_follows(make_agent: Make, judge: str) -> None:
    settings: dict[str, Any] = {"discount": 0.9}
    if judge == "value":
        settings |= {"imagination": ImaginationConfig(horizon=2), "critic_weight": 0.0}
    agent = make_agent(**settings)
    actor = Planner(agent, horizon=3)._actor
    model, networks = agent.world_model, agent.policy.actor_critic
    features, actions = torch.randn(2, 14), 2 * torch.rand(2, 4, 3, 2) - 1
    scores = actor.score(features, actions)
    for b in range(2):
        for n in range(4):
            h, s = features[b : b + 1].split([9, 5], -1)
            score = 0.0
            with torch.no_grad():
                for t in range(3):
                    h = model.dynamics.advance(h, s, actions[b, n, t][None])
                    s = model.dynamics._prior(h, None).mean
                    z = torch.cat([h, s], -1)
                    score += 0.9**t * model.objectives["reward"].head(z).item()
                if judge == "value":
                    score += 0.9**3 * networks.value(z).item()
                else:
                    values = networks.critic(z, networks.actor.mode(z))
                    score += 0.9**3 * min(value.item() for value in values)
            assert scores[b, n].item() == pytest.approx(score, abs=1e-4)


def test_what_comes_after_a_termination_counts_as_little_as_it_is_likely(
    make_agent: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(discount=0.9)
    actor = Planner(agent, horizon=3)._actor
    model = agent.world_model
    goes_on = iter([torch.tensor([1.0, 0.5]), torch.tensor([0.5, 1.0]), torch.tensor([0.0, 1.0])])
    monkeypatch.setattr(model, "predict_continuation", lambda _: next(goes_on))
    monkeypatch.setattr(model, "predict_reward", lambda state: torch.ones(len(state.h)))
    monkeypatch.setattr(actor, "_value", lambda z: torch.full((len(z),), 10.0))
    scores = actor.score(torch.randn(1, 14), torch.zeros(1, 2, 3, 2))
    expected = [1 + 0.9 + 0.81 * 0.5, 1 + 0.45 + 0.45 * 0.9 + 0.45 * 0.81 * 10]
    torch.testing.assert_close(scores, torch.tensor([expected]))


@pytest.mark.parametrize("method", ["mppi", "cem"])
def test_it_finds_the_action_with_the_greatest_reward(make_agent: Make, method: Any) -> None:
    agent = make_agent()
    best = torch.tensor([[0.6, -0.3], [-0.8, 0.1]])

    class Known(type(Planner(agent)._actor)):  # type: ignore[misc]
        def score(self, features: Any, actions: Any) -> Any:
            return -(actions[:, :, 0] - features[:, None, :2]).square().sum(-1)

    planner = Planner(agent, method=method, samples=256, elites=16, iterations=6, horizon=2)
    planner._actor.__class__ = Known
    found = planner._actor.mode(torch.cat([best, torch.randn(2, 12)], 1))
    torch.testing.assert_close(found, best, atol=0.06, rtol=0)


def test_the_first_proposal_is_what_the_agent_would_do(make_agent: Make) -> None:
    agent = make_agent()
    actor = Planner(agent, horizon=2, proposals=3)._actor
    features = torch.randn(2, 14)
    with torch.no_grad():
        proposed = actor._propose(features, torch.Generator().manual_seed(0))
        mode = agent.policy.actor_critic.actor.mode(features)
    assert proposed.shape == (2, 4, 2, 2)
    torch.testing.assert_close(proposed[:, 0, 0], mode)
    assert (proposed[:, 1:, 0] - mode[:, None]).abs().sum(-1).min() > 0


def test_it_acts_like_an_agent(make_agent: Make) -> None:
    agent = make_agent()
    planner = Planner(agent, samples=8, elites=4, iterations=2)
    frames = np.random.default_rng(0).integers(256, size=(2, 2, 16, 16, 3), dtype=np.uint8)
    one, other = (planner.predict(frames[:, 0], deterministic=True) for _ in range(2))
    assert one[0].shape == (2, 2)
    assert np.array_equal(one[0], other[0]) and agent.action_space.contains(one[0][0])
    after, _ = planner.predict(frames[:, 1], one[1], np.array([False, True]), True)
    alone, _ = planner.predict(frames[1:, 1], None, np.array([True]), True)
    assert after.shape == (2, 2) and alone.shape == (1, 2)
    sampled = [planner.predict(frames[:, 0])[0] for _ in range(2)]
    assert not np.array_equal(*sampled)
    # In a batch, each acts as it does alone.
    second, _ = planner.predict(frames[1:, 0], deterministic=True)
    np.testing.assert_allclose(second, one[0][1:], atol=1e-4)
    # The best one alone, too.
    best = Planner(agent, samples=8, elites=1, iterations=2)
    assert np.isfinite(best.predict(frames[:, 0])[0]).all()
    env = gym.make("core-repr-tests/Pixels-v0")
    assert len(evaluate(planner, env, 2, seed=0).returns) == 2


def test_what_cannot_plan_is_refused(make_agent: Make) -> None:
    agent = make_agent()
    for fault, message in (
        ({"horizon": 0}, "horizon=0 does not do"),
        ({"proposals": -1}, "proposals=-1 does not do"),
        ({"elites": 80}, "there are 73 sequences"),
        ({"method": "random"}, "'random' is unknown"),
        ({"temperature": 0.0}, "must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Planner(agent, **fault)  # type: ignore[arg-type]
    for variant, message in (("no-reward", "objective 'reward'"), ("curl", "objective 'reward'")):
        with pytest.raises(ValueError, match=message):
            Planner(make_agent(variant))
    with pytest.raises(OSError):
        Planner("nowhere-at-all-v9")


def test_models_without_recurrence_plan_too(make_agent: Make) -> None:
    agent = make_agent("no-recurrence")
    assert isinstance(agent, CoReSAC)
    planner = Planner(agent, samples=4, elites=2, iterations=1)
    action, _ = planner.predict(np.zeros((16, 16, 3), np.uint8))
    assert action.shape == (2,)
