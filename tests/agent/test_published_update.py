"""Preset ``paper`` against a step-by-step computation of the published update in float64.

The reference is written from the paper's formulas and settings alone: autograd through plain
operations, one time step after the other, with nothing of the library but its weights and draws.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import pytest
import torch
from stable_baselines3.common.logger import Logger
from torch import Tensor
from torch.nn import functional as F

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig, EnvironmentConfig, paper
from core_repr.world_model import SequenceBatch

LENGTH, BATCH, ACTIONS, SIDE = 6, 3, 2, 12
STATE = 5
MODEL_LIMIT, CRITIC_LIMIT, ACTOR_LIMIT = 1.5, 0.5, 0.05
"""Clipping norms that the gradients of this test exceed."""

Weights = dict[str, Tensor]


def tiny_paper(proprioception: dict[str, int]) -> CoReConfig:
    """Preset ``paper`` with every setting but the sizes and the clipping norms."""
    preset = paper()
    encoder = dataclasses.replace(
        preset.world_model.encoder, filters=(4, 5), strides=(2, 1), output_size=7
    )
    dynamics = dataclasses.replace(
        preset.world_model.dynamics,
        deterministic_size=9,
        stochastic_size=STATE,
        observation_layers=(8, 7),
        recurrent_layers=(10, 9),
        prior_layers=(11, 10, 9),
        posterior_layers=(12, 11),
    )
    frames, reward = preset.objectives.frames, preset.objectives.reward
    inverse_dynamics = preset.objectives.inverse_dynamics
    assert frames is not None and reward is not None and inverse_dynamics is not None
    return CoReConfig(
        dataclasses.replace(
            preset.world_model,
            frame_size=SIDE,
            crop_size=SIDE,
            encoder=encoder,
            proprioception_layers=(6, 5, 4),
            dynamics=dynamics,
        ),
        dataclasses.replace(
            preset.objectives,
            frames=dataclasses.replace(frames, layers=(8, 9)),
            reward=dataclasses.replace(reward, layers=(8, 7)),
            inverse_dynamics=dataclasses.replace(inverse_dynamics, layers=(8, 7)),
        ),
        preset.augmentation,
        dataclasses.replace(
            preset.agent,
            actor_layers=(16, 15, 14),
            critic_layers=(15, 16, 14),
            replay_size=300,
            learning_starts=0,
            precision="float32",
            model_max_gradient_norm=MODEL_LIMIT,
            critic_max_gradient_norm=CRITIC_LIMIT,
            actor_max_gradient_norm=ACTOR_LIMIT,
        ),
        EnvironmentConfig(
            "an/Env-v0",
            {},
            (-1.0,) * ACTIONS,
            (1.0,) * ACTIONS,
            pixels_key="camera" if proprioception else None,
            proprioception=proprioception,
        ),
    )


# ---- The reference --------------------------------------------------------------------------


def elu_mlp(w: Weights, prefix: str, layers: tuple[int, ...], x: Tensor) -> Tensor:
    """Linear layers with ELU between them, and none at the end."""
    for index in layers:
        x = x @ w[f"{prefix}.{index}.weight"].T + w[f"{prefix}.{index}.bias"]
        if index != layers[-1]:
            x = F.elu(x)
    return x


def normed(x: Tensor, w: Weights | None = None, prefix: str = "") -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    x = (x - mean) / (variance + 1e-5).sqrt()
    return x if w is None else x * w[f"{prefix}.weight"] + w[f"{prefix}.bias"]


def encoding(w: Weights, frame: Tensor, proprioception: Tensor) -> Tensor:
    x = frame.permute(0, 3, 1, 2) / 255
    for index, stride in ((0, 2), (2, 1)):
        kernel = w[f"encoder.convolutions.{index}.weight"]
        x = F.conv2d(x, kernel, w[f"encoder.convolutions.{index}.bias"], stride).relu()
    x = normed(x.flatten(1) @ w["encoder.linear.weight"].T + w["encoder.linear.bias"])
    if proprioception.shape[-1]:
        joined = F.elu(elu_mlp(w, "proprioception_encoder", (0, 2, 4), proprioception))
        x = torch.cat([x, joined], -1)
    return x


class Trace(NamedTuple):
    """What the recurrence gives at every frame, each a list of ``(B, ...)``."""

    x: list[Tensor]
    h: list[Tensor]
    mean: list[Tensor]
    log_std: list[Tensor]
    sample: list[Tensor]
    prior_mean: list[Tensor]
    prior_log_std: list[Tensor]
    prior_sample: list[Tensor]

    def z(self, t: int) -> Tensor:
        return torch.cat([self.h[t], self.sample[t]], -1)

    def acting(self, t: int) -> Tensor:
        return torch.cat([self.h[t], self.mean[t]], -1)


def trace(w: Weights, batch: SequenceBatch, prior_noise: Tensor, noise: Tensor) -> Trace:
    result = Trace([], [], [], [], [], [], [], [])
    for t in range(LENGTH):
        x = encoding(w, batch.frames[t].double(), batch.proprioception[t].double())
        if t == 0:
            h = torch.zeros(BATCH, 9, dtype=torch.float64)
        else:
            driven = torch.cat([result.sample[-1], batch.actions[t - 1].double()], -1)
            driven = F.elu(elu_mlp(w, "dynamics.recurrent_mlp", (0, 2), driven))
            gates = torch.cat([driven, h], -1) @ w["dynamics.cell.gates.weight"].T
            reset, candidate, update = normed(gates, w, "dynamics.cell.norm").chunk(3, -1)
            update = torch.sigmoid(update - 1)
            h = update * torch.tanh(torch.sigmoid(reset) * candidate) + (1 - update) * h
        prior = normed(elu_mlp(w, "dynamics.prior_mlp", (0, 2, 4, 6), h), w, "dynamics.prior_norm")
        observed = normed(elu_mlp(w, "dynamics.observation_mlp.0", (0, 2), x))
        hidden = torch.cat([h, observed], -1) @ w["dynamics.posterior_input.weight"].T
        hidden = F.elu(hidden + w["dynamics.posterior_input.bias"])
        posterior = elu_mlp(w, "dynamics.posterior_mlp.1", (0, 2), hidden)
        posterior = normed(posterior, w, "dynamics.posterior_norm")
        parts: list[Tensor] = []
        for statistics, draws in ((posterior, noise[t]), (prior, prior_noise[t])):
            mean, log_std = statistics.chunk(2, -1)
            log_std = log_std.clamp(-10, 10)
            parts += [mean, log_std, mean + log_std.exp() * draws]
        for field, value in zip(result, (x, h, *parts), strict=True):
            field.append(value)
    return result


def kl(mean: Tensor, log_std: Tensor, other_mean: Tensor, other_log_std: Tensor) -> Tensor:
    p = torch.distributions.Normal(mean, log_std.exp())
    q = torch.distributions.Normal(other_mean, other_log_std.exp())
    return torch.distributions.kl_divergence(p, q).sum(-1)


def model_losses(w: Weights, batch: SequenceBatch, seen: Trace) -> dict[str, Tensor]:
    """The terms of J_M and their weighted sum."""
    later = range(1, LENGTH)
    x = torch.cat([seen.x[t] for t in later])
    priors = torch.cat([torch.cat([seen.h[t], seen.prior_sample[t]], -1) for t in later])
    y = normed(elu_mlp(w, "objectives.frames.decoder", (0, 2, 4), priors))
    logits = F.softplus(w["objectives.frames.inverse_temperature_logit"]) * x @ y.T
    pairs = torch.arange(len(x))
    contrastive = -0.5 * (logits.log_softmax(1)[pairs, pairs] + logits.log_softmax(0)[pairs, pairs])
    divergence = []
    for t in later:
        q = seen.mean[t], seen.log_std[t]
        p = seen.prior_mean[t], seen.prior_log_std[t]
        still_q, still_p = (part.detach() for part in q), (part.detach() for part in p)
        divergence.append(0.5 * kl(*q, *still_p).clamp(min=1) + 0.5 * kl(*still_q, *p).clamp(min=1))
    rewards, dynamics = [], []
    for t in later:
        predicted = elu_mlp(w, "objectives.reward.head", (0, 2, 4), seen.z(t)).squeeze(-1)
        error = (predicted - batch.rewards[t - 1].double()).abs()
        rewards.append(torch.where(error < 1, 0.5 * error.square(), error - 0.5))
        both = torch.cat([seen.z(t - 1), seen.z(t)], -1)
        action = elu_mlp(w, "objectives.inverse_dynamics.head.0", (0, 2, 4), both).tanh()
        dynamics.append(0.5 * (action - batch.actions[t - 1].double()).square().sum(-1))
    losses = {
        "contrastive_loss": contrastive.mean(),
        "kl": torch.stack(divergence).mean(),
        "reward_loss": torch.stack(rewards).mean(),
        "inverse_dynamics_loss": torch.stack(dynamics).mean(),
    }
    weights = (1, 0.01, 1, 1)
    losses["model_loss"] = sum(
        (weight * loss for weight, loss in zip(weights, losses.values(), strict=True)),
        start=torch.zeros((), dtype=torch.float64),
    )
    return losses


def relu_mlp(w: Weights, prefix: str, x: Tensor) -> Tensor:
    for index in (0, 2, 4, 6):
        x = x @ w[f"{prefix}.{index}.weight"].T + w[f"{prefix}.{index}.bias"]
        if index != 6:
            x = x.relu()
    return x


def acted(w: Weights, z: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """An action and its log density, by the change of variables."""
    mean, spread = relu_mlp(w, "actor.network", z).chunk(2, -1)
    mean, log_std = 5 * torch.tanh(mean / 5), -10 + 12 * torch.sigmoid(spread)
    raw = mean + log_std.exp() * draws
    density = torch.distributions.Normal(mean, log_std.exp()).log_prob(raw)
    action = raw.tanh()
    return action, (density - (1 - action.square()).log()).sum(-1)


def values(w: Weights, prefix: str, z: Tensor, action: Tensor) -> list[Tensor]:
    inputs = torch.cat([z, action], -1)
    return [relu_mlp(w, f"{prefix}.critics.{i}", inputs).squeeze(-1) for i in range(2)]


def critic_loss(w: Weights, batch: SequenceBatch, seen: Trace, draws: Tensor) -> Tensor:
    errors = []
    for t in range(LENGTH - 1):
        with torch.no_grad():
            later = seen.acting(t + 1)
            action, log_density = acted(w, later, draws[t])
            value = torch.minimum(*values(w, "critic_target", later, action))
            value = value - w["log_entropy_weight"].exp() * log_density
            bootstrap = (~batch.terminated[t]).double()
            target = batch.rewards[t].double() + 0.99 * bootstrap * value
        for value in values(w, "critic", seen.acting(t), batch.actions[t].double()):
            errors.append((value - target).square())
    return 2 * torch.stack(errors).mean()


def clipped(gradients: list[Tensor], limit: float) -> list[Tensor]:
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
    assert norm > limit
    return [gradient * limit / norm for gradient in gradients]


# ---- The comparison -------------------------------------------------------------------------


class Steps:
    """What each optimiser was given, and the weights before it stepped."""

    def __init__(self, agent: CoReSAC) -> None:
        self._named = {
            **dict(agent.world_model.named_parameters()),
            **dict(agent.actor_critic.named_parameters()),
        }
        self.weights: dict[str, Weights] = {}
        self.gradients: dict[str, Weights] = {}
        for name in ("model", "critic", "actor", "entropy"):
            optimizer = getattr(agent.optimizers, name)
            owned = {id(p) for group in optimizer.param_groups for p in group["params"]}

            def note(*_: Any, name: str = name, owned: set[int] = owned) -> None:
                assert name not in self.weights
                self.weights[name] = {
                    key: p.detach().double().clone().requires_grad_()
                    for key, p in self._named.items()
                }
                self.gradients[name] = {
                    key: p.grad.clone()
                    for key, p in self._named.items()
                    if id(p) in owned and p.grad is not None
                }

            optimizer.register_step_pre_hook(note)


def same(gradients: Weights, expected: Weights) -> None:
    """Every gradient agrees to 1e-5 of its own norm, or of a hundredth of the largest one."""
    assert gradients.keys() == expected.keys()
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        error = float((gradients[name].double() - gradient).norm())
        assert error <= 1e-5 * max(float(gradient.norm()), 0.01 * largest), name


def reference_gradients(loss: Tensor, weights: Weights) -> Weights:
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {
        name: gradient
        for name, gradient in zip(weights, found, strict=True)
        if gradient is not None
    }


@pytest.mark.parametrize("proprioception", [{}, {"arm": 2, "gripper": 1}], ids=["image", "both"])
def test_an_update_is_the_published_one(proprioception: dict[str, int]) -> None:
    agent = CoReSAC("CoRePolicy", None, tiny_paper(proprioception), seed=0, device="cpu")
    agent.set_logger(Logger(None, []))
    agent.acts_at_random = False
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in [*agent.world_model.parameters(), *agent.actor_critic.parameters()]:
            parameter += 0.2 * torch.randn_like(parameter)
    batch = SequenceBatch(
        frames=torch.randint(256, (LENGTH, BATCH, SIDE, SIDE, 3), dtype=torch.uint8),
        actions=2 * torch.rand(LENGTH, BATCH, ACTIONS) - 1,
        rewards=2 * torch.randn(LENGTH, BATCH),
        is_first=torch.tensor([[True] * BATCH] + [[False] * BATCH] * (LENGTH - 1)),
        terminated=torch.zeros(LENGTH, BATCH, dtype=torch.bool),
        mask=torch.ones(LENGTH, BATCH, dtype=torch.bool),
        proprioception=torch.randn(LENGTH, BATCH, sum(proprioception.values())),
    )
    batch.terminated[LENGTH - 2, 1] = True
    draws = torch.Generator()
    draws.set_state(agent.policy.generator.get_state())
    before = {k: v.detach().double().clone() for k, v in agent.actor_critic.named_parameters()}
    steps = Steps(agent)
    agent.update(batch)
    agent.read_losses()
    logged = {name.removeprefix("train/"): v for name, v in agent.logger.name_to_value.items()}

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws).double()

    # 1. J_M moves Θ and ℓ, whose gradients are clipped together.
    weights = steps.weights["model"]
    _, prior_noise, noise = drawn(3, LENGTH, BATCH, STATE)
    losses = model_losses(weights, batch, trace(weights, batch, prior_noise, noise))
    expected = reference_gradients(losses["model_loss"], weights)
    assert "objectives.frames.inverse_temperature_logit" in expected
    limited = clipped(list(expected.values()), MODEL_LIMIT)
    same(steps.gradients["model"], dict(zip(expected, limited, strict=True)))

    # 2. J_Q, after a fresh forward pass, moves critics and Θ, whose gradient is not clipped.
    weights = steps.weights["critic"]
    _, prior_noise, noise = drawn(3, LENGTH, BATCH, STATE)
    seen = trace(weights, batch, prior_noise, noise)
    losses["critic_loss"] = critic_loss(weights, batch, seen, drawn(LENGTH - 1, BATCH, ACTIONS))
    expected = reference_gradients(losses["critic_loss"], weights)
    critics = [name for name in expected if name.startswith("critic.")]
    limited = clipped([expected[name] for name in critics], CRITIC_LIMIT)
    theta = {name: g for name, g in expected.items() if name not in critics}
    assert math.sqrt(sum(float(g.square().sum()) for g in theta.values())) > MODEL_LIMIT
    same(steps.gradients["critic"], {**theta, **dict(zip(critics, limited, strict=True))})

    # 3. J_π moves the actor, with α as it was, over the frames that an action follows.
    weights = steps.weights["actor"]
    z = torch.stack([seen.acting(t).detach() for t in range(LENGTH - 1)])
    action, log_density = acted(weights, z, drawn(LENGTH - 1, BATCH, ACTIONS))
    value = torch.minimum(*values(weights, "critic", z, action))
    losses["actor_loss"] = (before["log_entropy_weight"].exp() * log_density - value).mean()
    expected = {
        name: gradient
        for name, gradient in reference_gradients(losses["actor_loss"], weights).items()
        if name.startswith("actor")
    }
    limited = clipped(list(expected.values()), ACTOR_LIMIT)
    same(steps.gradients["actor"], dict(zip(expected, limited, strict=True)))

    # 4. The entropy weight.
    losses["policy_entropy"] = -log_density.mean()
    gradient = before["log_entropy_weight"].exp() * (losses["policy_entropy"] + ACTIONS)
    assert abs(gradient) < 1
    same(steps.gradients["entropy"], {"log_entropy_weight": gradient.detach()})

    # 5. The target critics, and everything that was logged.
    after = dict(agent.actor_critic.named_parameters())
    for name, target in before.items():
        if name.startswith("critic_target"):
            critic = after[name.replace("critic_target", "critic")].double()
            followed = (0.995 * target + 0.005 * critic).float()
            torch.testing.assert_close(after[name], followed, atol=1e-7, rtol=1e-6)
    for name, loss in losses.items():
        assert logged[name] == pytest.approx(loss.item(), rel=1e-5), name


def test_the_optimisers_are_the_published_ones() -> None:
    agent = CoReSAC("CoRePolicy", None, tiny_paper({}), device="cpu")
    model, critic = agent.optimizers.model, agent.optimizers.critic
    actor, entropy = agent.optimizers.actor, agent.optimizers.entropy
    assert [group["lr"] for group in model.param_groups] == [3e-4, 3e-4, 2e-3]
    assert [group["lr"] for group in critic.param_groups] == [1e-3, 3e-4]
    assert [group["lr"] for group in (*actor.param_groups, *entropy.param_groups)] == [1e-3, 1e-3]
    for optimizer in (model, critic, actor):
        assert all(g["betas"] == (0.9, 0.999) for g in optimizer.param_groups)
    assert entropy.param_groups[0]["betas"] == (0.5, 0.999)
    for optimizer in (model, critic, actor, entropy):
        assert all(g["eps"] == 1e-8 and not g["weight_decay"] for g in optimizer.param_groups)


def test_the_entropy_weight_falls_as_published() -> None:
    """Under a constant H − H̄ = 3 nats; minimising log α · (H − H̄) has 0.037, 0.0050, 0.00068."""
    agent = CoReSAC("CoRePolicy", None, tiny_paper({}), device="cpu")
    entropy = torch.tensor(agent.target_entropy + 3)
    path = []
    for update in range(1, 5001):
        agent._entropy_weight_update(entropy)
        if update in (1000, 3000, 5000):
            path.append(agent.actor_critic.entropy_weight.item())
    assert path == pytest.approx([0.044, 0.0142, 0.0056], rel=0.01)
