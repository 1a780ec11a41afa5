import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from core_repr.agent.networks import Actor, ActorCritic, TwinCritic
from core_repr.config import PRESETS, SACConfig

CONFIG = SACConfig(actor_layers=(16, 12), critic_layers=(14,), initial_log_entropy_weight=-0.5)


def set_output(actor: Actor, *values: float) -> None:
    """Makes the last layer give these values: the raw means, then the raw log σ."""
    last = actor.network[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor(values))


def test_log_densities_agree_with_torch() -> None:
    actor = Actor(5, 3, CONFIG)
    set_output(actor, 0.3, -1.0, 0.0, 1.0, 0.5, 2.0)
    features = torch.randn(50, 5)
    mean, log_std = actor(features)
    action, log_density = actor.sample(features)
    normal = Normal(mean.double(), log_std.double().exp())
    squashed = TransformedDistribution(normal, TanhTransform())
    # In float32, the way back from an action near ±1 is lost.
    inner = (action.abs() < 0.999).all(-1)
    assert inner.sum() > 5
    expected = squashed.log_prob(action.double()).sum(-1)
    torch.testing.assert_close(log_density[inner].double(), expected[inner], atol=2e-3, rtol=0)


def test_log_densities_of_saturated_actions_are_finite_and_exact() -> None:
    actor = Actor(5, 1, CONFIG)
    set_output(actor, 100.0, 100.0)
    action, log_density = actor.sample(torch.zeros(200, 5), torch.Generator().manual_seed(0))
    assert (action.abs() <= 1).all() and (action == 1).any()
    noise = torch.randn(200, 1, generator=torch.Generator().manual_seed(0)).double()
    raw = 5 + math.exp(2) * noise
    # 1 − tanh²(u) = 4 / (e^u + e^−u)²
    slope = math.log(4) - 2 * torch.logaddexp(raw, -raw)
    expected = Normal(5.0, math.exp(2)).log_prob(raw) - slope
    torch.testing.assert_close(log_density.double(), expected.sum(-1), atol=1e-3, rtol=1e-4)


def test_samples_have_the_mean_and_the_spread_that_the_network_says() -> None:
    actor = Actor(5, 1, CONFIG)
    set_output(actor, 0.5, 1.0)
    mean, log_std = actor(torch.zeros(1, 5))
    raw = torch.atanh(actor.sample(torch.zeros(4_000, 5))[0])
    # Four standard errors.
    spread = log_std.exp().item()
    assert raw.mean().item() == pytest.approx(mean.item(), abs=4 * spread / math.sqrt(4_000))
    assert raw.std().item() == pytest.approx(spread, rel=4 / math.sqrt(8_000))


def test_mean_and_log_std_are_bounded_as_published() -> None:
    actor = Actor(5, 2, CONFIG)
    features = torch.zeros(1, 5)
    set_output(actor, 1e4, -1e4, 1e4, -1e4)
    mean, log_std = actor(features)
    torch.testing.assert_close(mean, torch.tensor([[5.0, -5.0]]))
    torch.testing.assert_close(log_std, torch.tensor([[2.0, -10.0]]))
    set_output(actor, 1.0, -2.0, 0.0, 1.0)
    mean, log_std = actor(features)
    torch.testing.assert_close(mean, 5 * torch.tanh(torch.tensor([[0.2, -0.4]])))
    sigmoid = 1 / (1 + math.exp(-1))
    torch.testing.assert_close(log_std, torch.tensor([[-4.0, -10 + 12 * sigmoid]]))


def test_mode_is_the_squashed_mean() -> None:
    actor = Actor(5, 3, CONFIG)
    features = 3 * torch.randn(4, 5)
    torch.testing.assert_close(actor.mode(features), torch.tanh(actor(features)[0]))


def test_samples_come_from_the_generator_and_carry_the_gradient() -> None:
    actor = Actor(5, 3, CONFIG)
    features = torch.randn(2, 4, 5)
    draws = [actor.sample(features, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draws[0][0], draws[1][0]) and not torch.equal(draws[0][0], draws[2][0])
    action, log_density = draws[0]
    assert action.shape == (2, 4, 3) and log_density.shape == (2, 4)
    action.sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in actor.parameters())


def test_critics_read_features_and_action_and_differ() -> None:
    critic = TwinCritic(5, 2, CONFIG.critic_layers)
    features, action = torch.randn(4, 3, 5), torch.randn(4, 3, 2)
    values = critic(features, action)
    for value, network in zip(values, critic.critics, strict=True):
        expected = network(torch.cat([features, action], -1)).squeeze(-1)
        assert value.shape == (4, 3)
        torch.testing.assert_close(value, expected)
    assert not torch.allclose(*values, atol=1e-3)
    other = critic(features, -action)
    assert not torch.allclose(values[0], other[0], atol=1e-3)


def test_target_critics_start_as_the_critics_and_do_not_learn() -> None:
    agent = ActorCritic(5, 2, CONFIG)
    for critic, target in zip(
        agent.critic.parameters(), agent.critic_target.parameters(), strict=True
    ):
        assert torch.equal(critic, target) and critic.data_ptr() != target.data_ptr()
        assert critic.requires_grad and not target.requires_grad


def test_entropy_weight_starts_at_its_setting() -> None:
    agent = ActorCritic(5, 2, CONFIG)
    assert agent.entropy_weight.item() == pytest.approx(math.exp(-0.5))
    assert not agent.entropy_weight.requires_grad


def test_preset_paper_has_the_actor_and_critics_of_table_4() -> None:
    with torch.device("meta"):  # shapes without numbers: the orthogonal start takes seconds
        agent = ActorCritic(264, 3, PRESETS["paper"]().agent)

    def sizes(network: nn.Sequential) -> list[tuple[int, ...]]:
        return [tuple(layer.weight.shape) for layer in network if isinstance(layer, nn.Linear)]

    hidden = [(1024, 1024), (1024, 1024)]
    assert sizes(agent.actor.network) == [(1024, 264), *hidden, (6, 1024)]
    for critic in agent.critic.critics:
        assert sizes(critic) == [(1024, 267), *hidden, (1, 1024)]
    for network in (agent.actor.network, *agent.critic.critics):
        assert [type(layer) for layer in network[1::2]] == [nn.ReLU] * 3
