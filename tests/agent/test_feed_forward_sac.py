"""FeedForwardSAC against a plain computation after RAD's and CURL's own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core_repr.agent import FeedForwardSAC, SequenceReplayBuffer
from core_repr.config import CoReConfig, compact, make_variant, paper
from core_repr.world_model import SequenceBatch

Make = Callable[..., FeedForwardSAC]


@pytest.fixture
def make_agent(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> Make:
    def make(variant: str, **agent: Any) -> FeedForwardSAC:
        config = make_variant(tiny_config(), variant)
        settings = {
            "actor_layers": (9, 8),
            "critic_layers": (11, 10),
            "batch_size": 4,
            "learning_starts": 16,
            "precision": "float32",
        }
        config = config.replace(agent=replace(config.agent, **{**settings, **agent}))
        return FeedForwardSAC("CoRePolicy", make_pixels(), config, seed=0, device="cpu")

    return make


def steps(count: int = 5) -> SequenceBatch:
    """A mini-batch of single steps with three frames before each."""
    return SequenceBatch(
        frames=torch.randint(256, (4, count, 16, 16, 3), dtype=torch.uint8),
        actions=2 * torch.rand(4, count, 2) - 1,
        rewards=torch.randn(4, count),
        is_first=torch.zeros(4, count, dtype=torch.bool),
        terminated=torch.tensor([[False] * count] * 2 + [[True] + [False] * (count - 1)] * 2),
        mask=torch.ones(4, count, dtype=torch.bool),
        proprioception=torch.zeros(4, count, 0),
    )


class Plain:
    """One update, written out: the critic's and the actor's encoders tied by their convolutions."""

    def __init__(self, agent: FeedForwardSAC) -> None:
        self.generator = torch.Generator()
        self.generator.set_state(agent.policy.generator.get_state())
        tensors = {**agent.world_model.state_dict(), **agent.policy.actor_critic.state_dict()}
        self.p = {name: t.detach().clone().requires_grad_() for name, t in tensors.items()}

    def crop(self, frames: Tensor) -> Tensor:
        """RAD's random crop of stacked frames, channels first, pixels from 0 to 1."""
        side = 12
        places = torch.randint(16 - side + 1, (frames.shape[1], 2), generator=self.generator)
        rows = []
        for b, (y, x) in enumerate(places.tolist()):
            stack = [frame[b, y : y + side, x : x + side].permute(2, 0, 1) for frame in frames]
            rows.append(torch.cat(stack))
        return torch.stack(rows).float() / 255

    def convolve(self, pixels: Tensor, of: str = "encoder.") -> Tensor:
        for layer, stride in ((0, 2), (2, 1)):
            name = f"{of}convolutions.{layer}."
            pixels = F.conv2d(pixels, self.p[name + "weight"], self.p[name + "bias"], stride).relu()
        return pixels.flatten(1)

    def head(self, features: Tensor, name: str) -> Tensor:
        weight, bias = self.p[f"{name}linear.weight"], self.p[f"{name}linear.bias"]
        x = features @ weight.T + bias
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        return x * self.p[f"{name}norm.weight"] + self.p[f"{name}norm.bias"]

    def layers(self, x: Tensor, name: str) -> Tensor:
        for layer in (0, 2, 4):
            x = x @ self.p[f"{name}.{layer}.weight"].T + self.p[f"{name}.{layer}.bias"]
            x = x.relu() if layer < 4 else x
        return x

    def critics(self, x: Tensor, action: Tensor, name: str = "critic") -> list[Tensor]:
        joined = torch.cat([x, action], 1)
        return [self.layers(joined, f"{name}.critics.{i}").squeeze(1) for i in range(2)]

    def act(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.layers(x, "actor.network").chunk(2, 1)
        log_std = -10 + 0.5 * 12 * (torch.tanh(raw) + 1)
        noise = torch.randn(mean.shape, generator=self.generator)
        u = mean + log_std.exp() * noise
        density = torch.distributions.Normal(mean, log_std.exp()).log_prob(u)
        action = torch.tanh(u)
        return action, (density - torch.log(1 - action.square() + 1e-12)).sum(1)

    def step(self, loss: Tensor, names: list[str], rate: float) -> None:
        """Adam's first step."""
        gradients = torch.autograd.grad(loss, [self.p[name] for name in names])
        with torch.no_grad():
            for name, gradient in zip(names, gradients, strict=True):
                self.p[name] -= rate * gradient / (gradient.abs() + 1e-8)

    def update(self, batch: SequenceBatch, curl: bool) -> dict[str, float]:
        now, later = self.crop(batch.frames[:3]), self.crop(batch.frames[1:])
        alpha = self.p["log_entropy_weight"].exp()
        with torch.no_grad():
            action, density = self.act(self.head(self.convolve(later), "encoder.actor_"))
            slow = self.head(
                self.convolve(later, "encoder_target.frames."), "encoder_target.frames."
            )
            value = torch.min(*self.critics(slow, action, "critic_target")) - alpha * density
            target = batch.rewards[2] + 0.99 * (~batch.terminated[2]) * value
        values = self.critics(self.head(self.convolve(now), "encoder."), batch.actions[2])
        critic_loss = sum(((value - target) ** 2).mean() for value in values)
        shared = [
            name
            for name in self.p
            if name.startswith(("encoder.conv", "encoder.linear", "encoder.norm"))
        ]
        of_critics = [name for name in self.p if name.startswith("critic.")]
        self.step(critic_loss, shared + of_critics, 1e-3)
        losses = {"critic_loss": critic_loss.item()}
        if curl:
            key = self.crop(batch.frames[:3])
            query = self.head(self.convolve(now), "encoder.")
            with torch.no_grad():
                key = self.head(
                    self.convolve(key, "objectives.frames.key_encoder."),
                    "objectives.frames.key_encoder.",
                )
            logits = query @ (self.p["objectives.frames.bilinear"] @ key.T)
            logits = logits - logits.max(1, keepdim=True).values
            loss = F.cross_entropy(logits, torch.arange(len(logits)))
            bilinear = ["objectives.frames.bilinear"]
            both = torch.autograd.grad(loss, [self.p[n] for n in shared + bilinear])
            with torch.no_grad():
                for name, gradient in zip(shared + bilinear, both, strict=True):
                    # Two steps on the encoder, one on W.
                    for _ in range(1 if name in bilinear else 2):
                        self.p[name] -= 1e-3 * gradient / (gradient.abs() + 1e-8)
            losses["momentum_contrast_loss"] = loss.item()
        with torch.no_grad():
            features = self.convolve(now)
            encoded = self.head(features, "encoder.")
        action, density = self.act(self.head(features, "encoder.actor_"))
        value = torch.min(*self.critics(encoded, action))
        actor_loss = (alpha.detach() * density - value).mean()
        own = [n for n in self.p if n.startswith(("actor.", "encoder.actor_"))]
        self.step(actor_loss, own, 1e-3)
        losses["actor_loss"] = actor_loss.item()
        entropy_loss = (self.p["log_entropy_weight"].exp() * (-density.detach() + 2)).mean()
        self.step(entropy_loss, ["log_entropy_weight"], 1e-4)
        with torch.no_grad():
            for name in [n for n in self.p if n.startswith("critic.")]:
                slow_name = name.replace("critic.", "critic_target.", 1)
                self.p[slow_name] += 0.01 * (self.p[name] - self.p[slow_name])
            for name in [n for n in self.p if n.startswith("encoder.")]:
                for copy in ("encoder_target.frames.", "objectives.frames.key_encoder."):
                    slow_name = name.replace("encoder.", copy, 1)
                    if slow_name in self.p:
                        self.p[slow_name] += 0.05 * (self.p[name] - self.p[slow_name])
        return losses


@pytest.mark.parametrize("variant", ["sac-rad", "curl"])
def test_an_update_is_that_of_the_published_code(make_agent: Make, variant: str) -> None:
    agent = make_agent(variant)
    with torch.no_grad():
        # Targets of their own, and LayerNorms that do something.
        for name, parameter in agent.policy.named_parameters():
            if "target" in name or "norm" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    plain, batch = Plain(agent), steps()
    expected = plain.update(batch, variant == "curl")
    agent.update(batch)
    noted = agent._losses[0]
    for name, loss in expected.items():
        assert noted[name].item() == pytest.approx(loss, abs=1e-5), name
    after = {**agent.world_model.state_dict(), **agent.policy.actor_critic.state_dict()}
    assert after.keys() == plain.p.keys()
    for name, tensor in after.items():
        # Adam's first step is as long for the smallest gradient, whose sign rounding may change.
        difference = (tensor - plain.p[name]).abs()
        assert (difference < 1e-5).float().mean() > 0.97, name
    assert agent.policy.generator.get_state().equal(plain.generator.get_state())


def test_the_actor_does_not_move_the_convolutions(make_agent: Make) -> None:
    agent, batch = make_agent("sac-rad"), steps()
    frames = agent._stacked(batch.frames[:-1])
    before = {n: p.clone() for n, p in agent.policy.named_parameters()}
    agent._actor_update(frames, batch)
    moved = {n for n, p in agent.policy.named_parameters() if not torch.equal(p, before[n])}
    assert moved and all(
        name.startswith(("world_model.encoder.actor_", "actor_critic.actor.", "actor_critic.log_"))
        for name in moved
    )


def test_the_key_encoder_of_curl_is_the_target_encoder(make_agent: Make) -> None:
    agent = make_agent("curl").learn(40)
    key = agent.world_model.objectives["frames"].key_encoder
    target = agent.policy.actor_critic.encoder_target["frames"]
    assert agent.updates > 2
    for one, other in zip(key.parameters(), target.parameters(), strict=True):
        assert torch.equal(one, other)


def test_actor_and_slow_copies_learn_at_their_intervals(make_agent: Make) -> None:
    agent = make_agent("sac-rad", actor_interval=2, target_interval=3)
    for update in range(6):
        before = {n: p.clone() for n, p in agent.policy.named_parameters()}
        agent.update(steps())
        moved = {n for n, p in agent.policy.named_parameters() if not torch.equal(p, before[n])}
        assert any(name.startswith("actor_critic.actor.") for name in moved) == (update % 2 == 0)
        assert any("_target." in name for name in moved) == (update % 3 == 0)
        assert any(name.startswith("actor_critic.critic.") for name in moved)


def test_every_step_of_an_episode_is_sampled_with_the_frames_before_it() -> None:
    buffer = SequenceReplayBuffer(100, (2, 2, 3), 1, seed=0)
    for t in range(5):
        buffer.add(0, np.full((2, 2, 3), t, np.uint8), np.full(1, t / 10, np.float32), float(t))
    buffer.end_episode(0, np.full((2, 2, 3), 5, np.uint8), terminated=True)
    batch = buffer.sample(300, 4, lead=2)
    seen = set()
    for b in range(300):
        t = int(batch.rewards[2, b])
        seen.add(t)
        frames = batch.frames[:, b, 0, 0, 0].tolist()
        assert frames == [max(t - 2, 0), max(t - 1, 0), t, t + 1]
        assert batch.actions[2, b].item() == pytest.approx(t / 10)
        assert bool(batch.terminated[2, b]) == (t == 4)
        assert batch.mask[:, b].tolist() == [t >= 2, t >= 1, True, True]
    assert seen == {0, 1, 2, 3, 4}


def test_the_baselines_have_their_published_settings_in_both_presets() -> None:
    for preset in (compact, paper):
        for variant in ("sac-rad", "curl"):
            config = make_variant(preset(), variant)
            agent = config.agent
            assert (agent.batch_size, agent.updates_per_step) == (128, 1.0)
            assert agent.critic_layers == agent.actor_layers == (1024, 1024)
            assert config.augmentation.texture_opacity == 0
            assert config.world_model.crop_size == preset().world_model.crop_size
    encoder = make_variant(paper(), "sac-rad").world_model.encoder
    assert encoder.sides(84)[-1] == 35 and encoder.frame_stack == 3 and encoder.width == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.replace(agent=compact().agent), "belong together, but these are 'core-sac'"),
        (
            lambda c: c.replace(objectives=replace(c.objectives, kl=compact().objectives.kl)),
            "nothing predicts the next latent state with the dynamics 'identity'",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    change: Callable[[CoReConfig], CoReConfig], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        change(make_variant(compact(), "sac-rad"))
