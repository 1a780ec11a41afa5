"""SAC + DrQ and PSE against plain computations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core_repr import load_agent
from core_repr.agent import FeedForwardSAC
from core_repr.agent.feed_forward.pairs import EpisodePairs
from core_repr.agent.feed_forward.similarity import policy_distance, similarity_loss
from core_repr.config import CoReConfig, compact, make_variant, variant_of
from core_repr.world_model import SequenceBatch

Make = Callable[[str], FeedForwardSAC]


@pytest.fixture
def make_config(
    tiny_config: Callable[..., CoReConfig], make_pairs: Callable[[CoReConfig], CoReConfig]
) -> Callable[[str], CoReConfig]:
    def make(variant: str) -> CoReConfig:
        config = make_variant(tiny_config(), variant)
        small = {"actor_layers": (9, 8), "critic_layers": (11,), "learning_starts": 16}
        agent = replace(config.agent, **small, batch_size=4, precision="float32")
        config = config.replace(agent=agent)
        return make_pairs(config) if variant == "pse" else config

    return make


@pytest.fixture
def make_agent(
    make_config: Callable[[str], CoReConfig], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> Make:
    return lambda variant: FeedForwardSAC(
        "CoRePolicy", make_pixels(frame_size=12), make_config(variant), seed=0, device="cpu"
    )


def test_the_distance_is_the_fixed_point() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(-1, 1, (6, 2)), rng.uniform(-1, 1, (9, 2))
    cost = np.abs(first[:, None] - second[None]).mean(-1)
    distance = np.zeros((6, 9))
    for _ in range(20):
        after = np.pad(distance, ((0, 1), (0, 1)), "edge")[1:, 1:]
        after[-1, -1] = 0
        distance = cost + 0.9 * after
    np.testing.assert_allclose(policy_distance(first, second, 0.9), distance, rtol=1e-12)


def test_the_distance_on_a_chain_is_a_geometric_sum() -> None:
    gamma = 0.99
    distance = policy_distance(np.full((5, 1), 0.25), np.full((7, 1), -0.5), gamma)
    for i in range(5):
        for j in range(7):
            steps = max(5 - i, 7 - j)
            expected = 0.75 * (1 - gamma**steps) / (1 - gamma)
            assert distance[i, j] == pytest.approx(expected)


def test_the_loss_is_the_one_that_was_published() -> None:
    first, second = torch.randn(4, 3), torch.randn(6, 3)
    distance = 0.3 * torch.rand(4, 6)
    losses = []
    for i in range(4):
        cosine = [float(F.cosine_similarity(first[i], row, dim=0)) for row in second]
        near = int(distance[i].argmin())
        positive = cosine[near] / 0.1 - float(distance[i, near]) / 0.2
        terms = [
            positive
            if j == near
            else cosine[j] / 0.1 + math.log(1 - math.exp(-float(distance[i, j]) / 0.2) + 1e-9)
            for j in range(6)
        ]
        losses.append(math.log(sum(map(math.exp, terms))) - positive)
    loss = similarity_loss(first, second, distance, 0.1, 0.2)
    assert loss.item() == pytest.approx(sum(losses) / 4, abs=1e-5)


def shifted(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Stacked frames, shifted by up to 4 pixels, channels first, pixels from 0 to 1."""
    moves = torch.randint(-4, 5, (2, frames.shape[1], 1), generator=generator).squeeze(-1)
    padded = F.pad(frames.movedim(-1, -3).float().flatten(0, 1), (4, 4, 4, 4), mode="replicate")
    padded = padded.unflatten(0, frames.shape[:2])
    rows = []
    for b, (y, x) in enumerate(moves.T.tolist()):
        rows.append(torch.cat([frame[b, :, 4 + y : 16 + y, 4 + x : 16 + x] for frame in padded]))
    return torch.stack(rows) / 255


class Plain:
    """The networks, written out."""

    def __init__(self, agent: FeedForwardSAC) -> None:
        self.p = {**agent.world_model.state_dict(), **agent.policy.actor_critic.state_dict()}
        self.generator = torch.Generator()
        self.generator.set_state(agent.policy.generator.get_state())

    def convolve(self, pixels: Tensor, of: str = "encoder.") -> Tensor:
        for layer, stride in ((0, 2), (2, 1)):
            name = f"{of}convolutions.{layer}."
            pixels = F.conv2d(pixels, self.p[name + "weight"], self.p[name + "bias"], stride).relu()
        return pixels.flatten(1)

    def head(self, features: Tensor, name: str) -> Tensor:
        x = features @ self.p[f"{name}linear.weight"].T + self.p[f"{name}linear.bias"]
        weight, bias = self.p[f"{name}norm.weight"], self.p[f"{name}norm.bias"]
        return F.layer_norm(x, weight.shape, weight, bias).tanh()

    def layers(self, x: Tensor, name: str, count: int) -> Tensor:
        for layer in range(0, 2 * count, 2):
            x = x @ self.p[f"{name}.{layer}.weight"].T + self.p[f"{name}.{layer}.bias"]
            x = x.relu() if layer < 2 * count - 2 else x
        return x

    def critics(self, x: Tensor, action: Tensor, name: str = "critic") -> list[Tensor]:
        joined = torch.cat([x, action], 1)
        return [self.layers(joined, f"{name}.critics.{i}", 2).squeeze(1) for i in range(2)]

    def act(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.layers(x, "actor.network", 3).chunk(2, 1)
        log_std = -10 + 0.5 * 12 * (torch.tanh(raw) + 1)
        noise = torch.randn(mean.shape, generator=self.generator)
        u = mean + log_std.exp() * noise
        density = torch.distributions.Normal(mean, log_std.exp()).log_prob(u)
        return torch.tanh(u), (density - torch.log(1 - torch.tanh(u).square() + 1e-12)).sum(1)


def test_j_q_of_drq_is_over_two_views(make_agent: Make) -> None:
    agent = make_agent("sac-drq")
    batch = SequenceBatch(
        frames=torch.randint(256, (4, 5, 12, 12, 3), dtype=torch.uint8),
        actions=2 * torch.rand(4, 5, 2) - 1,
        rewards=torch.randn(4, 5),
        is_first=torch.zeros(4, 5, dtype=torch.bool),
        terminated=torch.tensor([[False] * 5] * 2 + [[True] + [False] * 4] * 2),
        mask=torch.ones(4, 5, dtype=torch.bool),
        proprioception=torch.zeros(4, 5, 0),
    )
    plain = Plain(agent)
    views = [shifted(batch.frames[:3], plain.generator) for _ in range(2)]
    later = [shifted(batch.frames[1:], plain.generator) for _ in range(2)]
    values = []
    for view in later:
        action, density = plain.act(plain.head(plain.convolve(view), "encoder.actor_"))
        slow = plain.head(plain.convolve(view, "encoder_target.frames."), "encoder_target.frames.")
        value = torch.min(*plain.critics(slow, action, "critic_target"))
        values.append(value - plain.p["log_entropy_weight"].exp() * density)
    target = batch.rewards[2] + 0.99 * (~batch.terminated[2]) * sum(values) / 2
    loss = sum(
        ((value - target) ** 2).mean()
        for view in views
        for value in plain.critics(plain.head(plain.convolve(view), "encoder."), batch.actions[2])
    )
    agent.update(batch)
    assert agent._losses[0]["critic_loss"].item() == pytest.approx(loss.item(), abs=1e-5)


def test_the_similarity_is_of_the_actors_hidden_layers(make_agent: Make) -> None:
    agent = make_agent("pse")
    plain, rng = Plain(agent), np.random.default_rng()
    rng.bit_generator.state = agent.replay_buffer.rng.bit_generator.state
    pair = agent._pairs.draw(rng)
    actions = [records["action"][:-1] for records in pair]
    rows = rng.permutation(7)[:5]
    changes = int(rng.integers(2**63))
    embedded = []
    for records in pair:
        frames = torch.from_numpy(records["frame"][:-1].copy())
        past = [torch.cat([frames[:1]] * k + [frames[: 7 - k]]) for k in (2, 1, 0)]
        view = shifted(torch.stack(past), torch.Generator().manual_seed(changes))
        hidden = plain.head(plain.convolve(view), "encoder.actor_")
        for layer in (0, 2):
            name = f"actor.network.{layer}."
            hidden = (hidden @ plain.p[name + "weight"].T + plain.p[name + "bias"]).relu()
        weight, bias = plain.p["embedding.0.weight"], plain.p["embedding.0.bias"]
        embedded.append((hidden @ weight.T + bias).relu())
    distance = torch.from_numpy(policy_distance(*actions, 0.99))[rows]
    loss = similarity_loss(embedded[0][rows], embedded[1], distance, 0.1, 0.1)
    before = {n: p.clone() for n, p in agent.policy.named_parameters()}
    agent._similarity_update(agent.config.agent.similarity)
    assert agent._losses[0]["similarity_loss"].item() == pytest.approx(loss.item(), abs=1e-5)
    moved = {n for n, p in agent.policy.named_parameters() if not torch.equal(p, before[n])}
    assert {name.split(".")[-2] for name in moved if "network" in name} == {"0", "2"}
    kinds = ("encoder.convolutions", "encoder.actor_", "actor.network", "embedding")
    assert all(any(kind in name for kind in kinds) for name in moved)
    assert all(any(kind in name for name in moved) for kind in kinds)


def test_the_similarity_sees_proprioception_too(
    tiny_config: Callable[..., CoReConfig], make_pairs: Callable[[CoReConfig], CoReConfig]
) -> None:
    config = make_variant(tiny_config(), "pse")
    environment = replace(config.environment, pixels_key="pixels", proprioception={"arm": 3})
    small = replace(config.agent, actor_layers=(9, 8), critic_layers=(11,))
    config = make_pairs(config.replace(environment=environment, agent=small))
    agent = FeedForwardSAC("CoRePolicy", None, config, seed=0, device="cpu")
    agent._pairs = EpisodePairs.read(config.agent.similarity.pairs, config)
    agent._similarity_update(config.agent.similarity)
    assert torch.isfinite(agent._losses[0]["similarity_loss"])


def test_pairs_come_from_files_and_either_episode_is_first(
    make_config: Callable[[str], CoReConfig],
) -> None:
    config = make_config("pse")
    pairs = EpisodePairs.read(config.agent.similarity.pairs, config)
    assert len(pairs.episodes) == 6
    first = {pairs.draw(np.random.default_rng(seed))[0]["frame"].tobytes() for seed in range(60)}
    assert len(first) == 6
    for one, two in (pairs[0], pairs[1], pairs[2]):
        assert np.array_equal(one["action"], two["action"])
        assert not np.array_equal(one["frame"], two["frame"])


def test_without_pairs_it_does_not_start(
    make_config: Callable[[str], CoReConfig],
    make_pixels: Callable[..., gym.Env[Any, Any]],
    tmp_path: Path,
) -> None:
    config = make_config("pse")

    def start(config: CoReConfig) -> None:
        FeedForwardSAC("CoRePolicy", make_pixels(frame_size=12), config, device="cpu")

    def with_pairs(folder: str) -> CoReConfig:
        similarity = replace(config.agent.similarity, pairs=folder)
        return config.replace(agent=replace(config.agent, similarity=similarity))

    start(config)
    with pytest.raises(ValueError, match="record them with core-repr pairs, and name their folder"):
        start(with_pairs(""))
    with pytest.raises(FileNotFoundError, match="nowhere holds no pairs of episodes"):
        start(with_pairs("nowhere"))
    manifest = tmp_path / "pairs" / "replay.json"
    manifest.write_text(manifest.read_text().replace("action repeat 4", "action repeat 2"))
    with pytest.raises(ValueError, match=r"are of .* 2, but the agent learns in .* 4\."):
        start(config)


def test_a_model_acts_without_its_pairs(make_agent: Make, tmp_path: Path) -> None:
    agent = make_agent("pse").learn(32)
    agent.save(tmp_path / "agent")
    for path in (tmp_path / "pairs").iterdir():
        path.unlink()
    loaded = load_agent(tmp_path / "agent", device="cpu")
    assert variant_of(loaded.config) == "pse"
    assert loaded.predict(np.zeros((12, 12, 3), np.uint8))[0].shape == (2,)


def test_the_similarity_is_a_part_of_the_pse_variant_alone() -> None:
    assert variant_of(make_variant(compact(), "sac-drq")) == "sac-drq"
    assert variant_of(make_variant(compact(), "pse")) == "pse"
    assert make_variant(compact(), "sac-drq").agent.batch_size == 256
