"""QTOpt against plain computations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import Tensor

from core_repr.agent import QTOpt
from core_repr.agent.feed_forward.networks import CrossEntropySearch
from core_repr.agent.networks import TwinCritic
from core_repr.config import CoReConfig, QTOptConfig, compact, make_variant
from core_repr.world_model import SequenceBatch

Make = Callable[..., QTOpt]


@pytest.fixture
def make_agent(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> Make:
    def make(variant: str = "qt-opt-rad", **agent: Any) -> QTOpt:
        config = make_variant(tiny_config(), variant)
        small = {"critic_layers": (11, 10), "batch_size": 4, "learning_starts": 16}
        exact = {"precision": "float32"}
        config = config.replace(agent=replace(config.agent, **{**small, **exact, **agent}))
        env = make_pixels(frame_size=config.world_model.frame_size)
        return QTOpt("CoRePolicy", env, config, seed=0, device="cpu")

    return make


def steps(side: int, count: int = 5) -> SequenceBatch:
    no = torch.zeros(4, count, dtype=torch.bool)
    ends = no.clone()
    ends[2, 0] = True
    return SequenceBatch(
        torch.randint(256, (4, count, side, side, 3), dtype=torch.uint8),
        2 * torch.rand(4, count, 2) - 1,
        torch.randn(4, count),
        no,
        ends,
        ~no,
        torch.zeros(4, count, 0),
    )


class Bowl(TwinCritic):
    """−|a − c|² + a ripple, with its centre c in the features; the second critic is another one."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, features: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        distance = (action - features[..., :2]).square().sum(-1)
        ripple = 0.05 * torch.cos(9 * action).sum(-1)
        return ripple - distance, distance


def test_the_search_finds_what_a_grid_finds() -> None:
    critic = Bowl()
    search = CrossEntropySearch(critic, 2, QTOptConfig(iterations=5, samples=200, elites=20))
    centres = torch.tensor([[0.0, 0.0], [0.7, -0.6], [0.95, 0.2], [2.0, -2.0]])
    found = search.mode(centres)
    torch.testing.assert_close(search.mode(centres[2:]), found[2:])
    line = torch.linspace(-1, 1, 401)
    grid = torch.cartesian_prod(line, line)
    for centre, action in zip(centres, found, strict=True):
        values = critic(centre.expand(len(grid), 2), grid)[0]
        value = critic(centre, action)[0]
        assert value > values.max() - 0.01, (centre, action)
        assert action.abs().max() <= 1


def test_an_iteration_narrows_to_the_elites() -> None:
    config = QTOptConfig(samples=12, elites=4, iterations=2)
    critic, features = Bowl(), torch.tensor([[0.3, -0.8], [0.0, 0.5]])
    found = CrossEntropySearch(critic, 2, config).search(
        critic, features, torch.Generator().manual_seed(5)
    )
    generator = torch.Generator().manual_seed(5)
    mean, variance = torch.zeros(2, 1, 2), torch.full((2, 1, 2), 0.25)
    for _ in range(2):
        noise = torch.randn(2, 12, 2, generator=generator)
        actions = (mean + variance.sqrt() * noise).clamp(-1, 1)
        rows = []
        for row in range(2):
            values = [float(critic(features[row], a)[0]) for a in actions[row]]
            order = sorted(range(12), key=lambda i, v=values: -v[i])
            rows.append(actions[row, order[:4]])
        elites = torch.stack(rows)
        mean = elites.mean(1, keepdim=True)
        variance = ((elites - mean) ** 2).mean(1, keepdim=True).clamp(min=1e-4)
    torch.testing.assert_close(found, elites[:, 0])


def test_exploration_is_uniform_now_and_then() -> None:
    search = CrossEntropySearch(Bowl(), 2, QTOptConfig(exploration=0.25))
    features = torch.full((4000, 2), 0.5)
    action, density = search.sample(features, torch.Generator().manual_seed(0))
    far = (action - 0.5).abs().amax(1) > 0.3
    # Of uniform actions, 91 % are as far.
    assert far.float().mean().item() == pytest.approx(0.25 * 0.91, abs=0.03)
    assert density.shape == (4000,) and not density.any()
    still, _ = CrossEntropySearch(Bowl(), 2, QTOptConfig(exploration=0.0)).sample(features)
    assert ((still - 0.5).abs().amax(1) < 0.3).all()


@pytest.mark.parametrize("variant", ["qt-opt-rad", "qt-opt-drq"])
def test_the_loss_is_that_of_clipped_double_targets(make_agent: Make, variant: str) -> None:
    agent = make_agent(variant)
    batch = steps(agent.config.world_model.frame_size)
    networks, views = agent.actor_critic, 2 if variant == "qt-opt-drq" else 1
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    generator = torch.Generator()
    generator.set_state(agent.policy.generator.get_state())

    def stacked(frames: Tensor) -> Tensor:
        return torch.cat([*agent.augment(frames, generator)], -1)

    with torch.no_grad():
        values = []
        for _ in range(views):
            encoded = networks.encoder_target["frames"](stacked(batch.frames[1:]))
            action = networks.actor.search(networks.critic_target, encoded, generator)
            values.append(torch.minimum(*networks.critic_target(encoded, action)))
        value = sum(values) / views
        target = batch.rewards[2] + 0.99 * value * torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0])
        expected = 0.0
        for _ in range(views):
            encoded = agent.world_model.encoder(stacked(batch.frames[:-1]))
            for value in networks.critic(encoded, batch.actions[2]):
                expected += float(((value - target) ** 2).mean())
    before = {n: p.clone() for n, p in agent.policy.named_parameters()}
    agent.update(batch)
    assert agent._losses[0]["critic_loss"].item() == pytest.approx(expected, rel=1e-5)
    for name, parameter in agent.policy.named_parameters():
        if name.endswith("weight"):
            assert not torch.equal(parameter, before[name]), name


def test_what_does_not_fit_is_refused(make_agent: Make) -> None:
    with pytest.raises(ValueError, match=r"elites must be at most samples \(4\), not 6"):
        QTOptConfig(samples=4)
    config = make_variant(compact(), "qt-opt-rad")
    with pytest.raises(ValueError, match="learns no objectives"):
        config.replace(objectives=replace(config.objectives, reward=compact().objectives.reward))
    encoder = replace(config.world_model.encoder, actor=True)
    with pytest.raises(ValueError, match="actor must be false for the agent 'qt-opt'"):
        config.replace(world_model=replace(config.world_model, encoder=encoder))
