import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from stable_baselines3.common.logger import Logger

from core_repr.agent import CoReSAC, core_sac
from core_repr.agent.imagination import Rollout, lambda_returns, roll_out
from core_repr.agent.value import GREATEST, Value, symexp, symlog
from core_repr.config import (
    CoReConfig,
    ImaginationConfig,
    ObjectivesConfig,
    SACConfig,
    make_variant,
)
from core_repr.world_model import LatentState, SequenceBatch


@pytest.fixture
def agent(tiny_config: Callable[..., CoReConfig]) -> CoReSAC:
    config = make_variant(tiny_config(agent={"sequence_length": 6}), "imagination")
    agent = CoReSAC("CoRePolicy", None, config, seed=0, device="cpu")
    agent.set_logger(Logger(None, []))
    agent.acts_at_random = False
    return agent


# Returns and values


def test_lambda_returns_are_the_mixture_of_n_step_returns() -> None:
    rewards, values = torch.randn(4, 3), torch.randn(5, 3)
    discounts = torch.full((4, 3), 0.9)
    discounts[2, 1] = 0
    decay = 0.7

    def n_step(t: int, n: int, b: int) -> float:
        total, discount = 0.0, 1.0
        for k in range(t, t + n):
            total += discount * float(rewards[k, b])
            discount *= float(discounts[k, b])
        return total + discount * float(values[t + n, b])

    returns = lambda_returns(rewards, values, discounts, decay)
    for t in range(4):
        for b in range(3):
            ahead = 4 - t
            expected = sum(
                (1 - decay) * decay ** (n - 1) * n_step(t, n, b) for n in range(1, ahead)
            )
            expected += decay ** (ahead - 1) * n_step(t, ahead, b)
            assert returns[t, b].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_lambda_looks_one_step_ahead_or_to_the_end(decay: float) -> None:
    rewards, values = torch.ones(3, 1), torch.tensor([[5.0], [6.0], [7.0], [8.0]])
    returns = lambda_returns(rewards, values, torch.full((3, 1), 0.5), decay)[:, 0].tolist()
    assert returns == ([4.0, 4.5, 5.0] if decay == 0 else [2.75, 3.5, 5.0])


def test_symexp_undoes_symlog() -> None:
    x = torch.tensor([-900.0, -1.0, 0.0, 1e-3, 1000.0])
    torch.testing.assert_close(symexp(symlog(x)), x)


def test_the_loss_is_least_for_the_value_and_every_state_is_worth_nothing_at_first() -> None:
    value = Value(4, (16,))
    features = torch.randn(64, 4)
    assert not value(features).abs().max() > 1e-5
    target = torch.full((64,), 37.0)
    optimizer = torch.optim.Adam(value.parameters(), lr=3e-2)
    for _ in range(60):
        optimizer.zero_grad()
        value.loss(features, target).mean().backward()
        optimizer.step()
    torch.testing.assert_close(value(features), target, rtol=0.1, atol=0)
    # What is beyond the bins counts as the outermost.
    far, edge = (value.loss(features, symexp(torch.full((64,), x))) for x in (20.0, GREATEST))
    torch.testing.assert_close(far, edge)


def test_a_target_that_is_not_finite_is_found_in_the_loss() -> None:
    loss = Value(4, (16,)).loss(torch.randn(3, 4), torch.tensor([1.0, torch.nan, 2.0]))
    assert loss.isnan().tolist() == [False, True, False]


def test_returns_are_divided_by_their_spread_and_small_ones_stay() -> None:
    value = Value(4, (8,))
    assert value.scale(torch.linspace(0, 0.1, 101)) == 1
    value.return_scale.zero_()
    torch.testing.assert_close(value.scale(torch.linspace(0, 100, 101)), torch.tensor(90.0))
    torch.testing.assert_close(value.scale(torch.linspace(0, 200, 101)), torch.tensor(90.9))
    assert "return_scale" in value.state_dict() and "bins" not in value.state_dict()


# Roll-outs


def test_a_roll_out_is_the_prior_under_the_actor(agent: CoReSAC) -> None:
    model, actor = agent.world_model, agent.actor_critic.actor
    state = LatentState(*(torch.randn(6, size) for size in (9, 5, 5, 5)))
    rollout = roll_out(model, actor, state, 3, torch.Generator().manual_seed(1))
    assert rollout.features.shape == (4, 6, 14)
    generator = torch.Generator().manual_seed(1)
    for t in range(3):
        torch.testing.assert_close(rollout.features[t], state.features)
        action, log_density = actor.sample(state.features, generator)
        state = model.dynamics.predict(state, action, torch.randn(6, 5, generator=generator))
        torch.testing.assert_close(rollout.rewards[t], model.predict_reward(state))
        torch.testing.assert_close(rollout.log_densities[t], log_density)
    assert torch.equal(rollout.continuations, torch.ones(3, 6))
    assert torch.equal(rollout.weights, torch.ones(3, 6))


def test_a_step_counts_as_much_as_it_is_likely_that_it_comes() -> None:
    goes_on = torch.tensor([[0.5, 1.0], [0.2, 0.0], [0.3, 1.0]], requires_grad=True)
    rollout = Rollout(torch.zeros(4, 2, 1), torch.zeros(3, 2), goes_on, torch.zeros(3, 2))
    torch.testing.assert_close(rollout.weights, torch.tensor([[1, 1], [0.5, 1], [0.1, 0]]))
    assert not rollout.weights.requires_grad


def test_the_gradient_of_later_rewards_reaches_the_actor_and_not_the_model(agent: CoReSAC) -> None:
    model, actor = agent.world_model, agent.actor_critic.actor
    rollout = roll_out(model, actor, model.initial_state(4), 3, torch.Generator())
    rollout.rewards[-1].sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert actor.network[0].weight.grad.abs().max() > 0


# The update


def test_actor_and_value_learn_and_padding_teaches_nothing(
    agent: CoReSAC, hand_made: Callable[..., SequenceBatch]
) -> None:
    batch = hand_made(length=5, batch_size=3)
    batch.mask[3:, 1] = False
    features = torch.randn(5, 3, agent.world_model.latent_size)
    plain = agent._replayed_value_loss(batch, features, 0.9)
    rewards, other = batch.rewards.clone(), features.clone()
    rewards[2:, 1], other[3:, 1] = 99.0, 9.0
    changed = agent._replayed_value_loss(batch._replace(rewards=rewards), other, 0.9)
    torch.testing.assert_close(changed, plain)
    before = {name: p.clone() for name, p in agent.policy.named_parameters()}
    agent.update(batch)
    moved = {n for n, p in agent.policy.named_parameters() if not torch.equal(p, before[n])}
    for part in ("world_model.encoder", "actor_critic.actor", "actor_critic.value."):
        assert any(name.startswith(part) for name in moved), part
    assert not hasattr(agent.actor_critic, "critic")


def test_the_value_of_what_ends_in_a_sequence_is_that_of_its_last_state(
    agent: CoReSAC,
    hand_made: Callable[..., SequenceBatch],
    joined_and_apart: Callable[[SequenceBatch], tuple[SequenceBatch, SequenceBatch]],
) -> None:
    batch = hand_made(length=6, batch_size=2)
    batch.terminated[1, 0] = True
    features = torch.randn(6, 2, agent.world_model.latent_size)
    with torch.no_grad():
        for parameter in agent.actor_critic.value_target.parameters():
            parameter.normal_()
    joined, apart = joined_and_apart(batch)
    halves = torch.cat([features[:3], features[3:]], 1)
    torch.testing.assert_close(
        agent._replayed_value_loss(joined, features, 0.9),
        agent._replayed_value_loss(apart, halves, 0.9),
    )


def test_the_agent_may_learn_more_often_than_the_world_model(
    tiny_config: Callable[..., CoReConfig], hand_made: Callable[..., SequenceBatch]
) -> None:
    config = make_variant(tiny_config(agent={"sequence_length": 6}), "imagination")
    config = config.replace(agent=dataclasses.replace(config.agent, agent_updates=3))
    agent = CoReSAC("CoRePolicy", None, config, seed=0, device="cpu")
    agent.set_logger(Logger(None, []))
    agent.acts_at_random = False
    agent.update(hand_made(length=5, batch_size=3))
    steps = {
        name: {int(state["step"]) for state in optimizer.state.values()}
        for name, optimizer in vars(agent.optimizers).items()
    }
    assert steps == {"model": {1}, "value": {3}, "actor": {3}, "entropy": {3}}


def test_what_terminated_has_no_value_after_it(
    agent: CoReSAC, hand_made: Callable[..., SequenceBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = hand_made(length=3, batch_size=2)
    batch.terminated[1, 0] = True
    seen: list[torch.Tensor] = []
    networks = agent.actor_critic
    monkeypatch.setattr(networks.value_target, "forward", lambda z: torch.full(z.shape[:-1], 50.0))
    monkeypatch.setattr(networks.value, "loss", lambda _, y: seen.append(y) or torch.zeros_like(y))
    agent._replayed_value_loss(batch, torch.randn(3, 2, agent.world_model.latent_size), 1.0)
    expected = batch.rewards[1, 1] + 0.99 * 50
    torch.testing.assert_close(seen[0][1], torch.stack([batch.rewards[1, 0], expected]))


def test_the_policy_climbs_an_imagined_reward(
    agent: CoReSAC, hand_made: Callable[..., SequenceBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reward head is made to like one corner of the stochastic state."""
    monkeypatch.setattr(agent.world_model, "predict_reward", lambda state: 3 * state.sample[..., 0])
    agent.optimizers.actor.param_groups[0]["lr"] = 1e-2
    _, posterior = agent._model_losses(hand_made(length=5, batch_size=8))
    batch, settings = hand_made(length=5, batch_size=8), agent.config.agent.imagination

    def imagined() -> float:
        start = posterior.detach().map(lambda field: field.flatten(0, 1))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            rollout = roll_out(agent.world_model, agent.actor_critic.actor, start, 5, generator)
        return rollout.rewards.mean().item()

    before = imagined()
    for _ in range(60):
        agent._imagination_update(batch, posterior.detach(), settings)
    assert imagined() > before + 0.05


def test_the_policy_stays_where_episodes_go_on(
    agent: CoReSAC, hand_made: Callable[..., SequenceBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is worth the same; half of the stochastic state terminates the episode."""
    model, networks = agent.world_model, agent.actor_critic
    monkeypatch.setattr(model, "predict_reward", lambda state: torch.ones_like(state.h[..., 0]))

    def goes_on(state: LatentState) -> torch.Tensor:
        return (3 * state.sample[..., 0]).sigmoid()

    monkeypatch.setattr(model, "predict_continuation", goes_on)
    agent.optimizers.actor.param_groups[0]["lr"] = 1e-2
    batch, settings = hand_made(length=5, batch_size=8), agent.config.agent.imagination
    _, posterior = agent._model_losses(batch)
    # Where an episode terminates, nothing follows: values are looked at through the same weights.
    monkeypatch.setattr(networks.value, "forward", lambda z: torch.full(z.shape[:-1], 10.0))

    def imagined() -> float:
        start = posterior.detach().map(lambda field: field.flatten(0, 1))
        with torch.no_grad():
            rollout = roll_out(model, networks.actor, start, 5, torch.Generator().manual_seed(0))
        return rollout.continuations.mean().item()

    before = imagined()
    for _ in range(60):
        agent._imagination_update(batch, posterior.detach(), settings)
    assert imagined() > before + 0.03


def test_nothing_starts_where_an_episode_terminated(
    agent: CoReSAC, hand_made: Callable[..., SequenceBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = hand_made(length=5, batch_size=8)
    terminated = torch.zeros_like(batch.terminated)
    terminated[1] = True
    batch = batch._replace(terminated=terminated, mask=torch.ones_like(batch.mask))
    _, posterior = agent._model_losses(batch)
    started: list[torch.Tensor] = []
    original = core_sac.roll_out

    def spy(model: Any, actor: Any, state: LatentState, *rest: Any) -> Any:
        started.append(state.h)
        return original(model, actor, state, *rest)

    monkeypatch.setattr(core_sac, "roll_out", spy)
    agent._imagination_update(batch, posterior.detach(), agent.config.agent.imagination)
    last = posterior.h[2].detach()
    assert torch.cdist(started[0].float(), last.float()).min() > 0


def test_a_termination_that_is_not_foreseen_is_told_once(agent: CoReSAC) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent._tell_of_termination()
    objectives = dataclasses.replace(agent.config.objectives, continuation=None)
    agent = CoReSAC("CoRePolicy", None, agent.config.replace(objectives=objectives), device="cpu")
    with pytest.warns(UserWarning, match="as if episodes went on"):
        agent._tell_of_termination()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent._tell_of_termination()


def test_what_was_frozen_stays_so(agent: CoReSAC) -> None:
    model = agent.world_model
    model.encoder.requires_grad_(False)
    start = model.initial_state(4)
    roll_out(model, agent.actor_critic.actor, start, 2, torch.Generator().manual_seed(0))
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert all(p.requires_grad for p in model.dynamics.parameters())


def test_the_actor_explores_within_its_range(agent: CoReSAC) -> None:
    actor = agent.actor_critic.actor
    for bias, expected in ((-99.0, 0.1), (99.0, 1.0)):
        with torch.no_grad():
            actor.network[-1].bias.fill_(bias)
        _, log_std = actor(torch.randn(64, agent.world_model.latent_size))
        torch.testing.assert_close(log_std.exp(), torch.full((64, 2), expected))


# Settings


@pytest.mark.parametrize(
    ("objectives", "agent", "words"),
    [
        ({"reward": None}, {}, "agent.imagination needs the objective reward"),
        ({"kl": None, "frames": None}, {}, "needs the objective reward, and a prior"),
        ({}, {"critic_weight": 1.0}, "critic_weight must be 0, not 1"),
        (
            {},
            {"sequence_length": 5},
            r"horizon must be less than sequence_length \(5\)",
        ),
    ],
)
def test_what_does_not_go_with_imagination_is_refused(
    objectives: dict[str, None], agent: dict[str, float], words: str
) -> None:
    settings = {"imagination": ImaginationConfig(), "critic_weight": 0.0, **agent}
    with pytest.raises(ValueError, match=words) as refusal:
        CoReConfig(objectives=ObjectivesConfig(**objectives), agent=SACConfig(**settings))
    assert "\n" not in str(refusal.value)


def test_a_range_that_falls_is_refused() -> None:
    with pytest.raises(ValueError, match=r"std_range must rise, not be \(1.0, 0.1\)"):
        ImaginationConfig(std_range=(1.0, 0.1))


@pytest.mark.parametrize("horizon", [0, 101])
def test_a_horizon_that_is_none_is_refused(horizon: int) -> None:
    with pytest.raises(ValueError, match="horizon' does not fit"):
        ImaginationConfig(horizon=horizon)
