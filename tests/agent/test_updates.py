"""One update of CoReSAC, taken apart: targets, gradients, optimisers."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jaxtyping
import pytest
import torch
from torch import nn

from core_repr.agent import CoReSAC
from core_repr.agent.sequence_algorithm import autocast_dtype
from core_repr.world_model import SequenceBatch

MakeAgent = Callable[..., CoReSAC]
HandMade = Callable[..., SequenceBatch]

NO_MODEL_LOSS = {slot: {"weight": 0.0} for slot in ("frames", "kl", "reward", "inverse_dynamics")}
UNCLIPPED = {
    "latent_max_gradient_norm": 1e9,
    "model_max_gradient_norm": 1e9,
    "critic_max_gradient_norm": 1e9,
    "actor_max_gradient_norm": 1e9,
}


def copies(parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def changed(before: list[torch.Tensor], parameters: Iterable[torch.Tensor]) -> bool:
    pairs = zip(before, parameters, strict=True)
    return any(not torch.equal(old, new) for old, new in pairs)


def make_constant(network: nn.Sequential, value: float) -> None:
    with torch.no_grad():
        network[-1].weight.zero_()
        network[-1].bias.fill_(value)


def losses_of(agent: CoReSAC) -> dict[str, float]:
    """What was logged since the last call, by name."""
    agent.read_losses()
    logged = {n.removeprefix("train/"): float(v) for n, v in agent.logger.name_to_value.items()}
    agent.logger.name_to_value.clear()
    agent.logger.name_to_count.clear()
    return logged


# Critics


def test_the_value_is_bootstrapped_through_truncation_but_not_through_termination(
    make_agent: MakeAgent, hand_made: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(agent={"discount": 0.9, "initial_log_entropy_weight": math.log(0.5)})
    batch = hand_made(length=4, batch_size=3)
    # Sequence 0 goes on or was cut off after its last step; 1 terminated there; 2 is shorter.
    batch.terminated[2, 1] = True
    batch.terminated[1, 2] = True
    batch.mask[3:, 2] = False
    log_density = torch.randn(3, 3)
    monkeypatch.setattr(
        agent.actor_critic.actor, "sample", lambda features, _: (torch.zeros(3, 3, 2), log_density)
    )
    for critic, target, value, later in zip(
        agent.actor_critic.critic.critics,
        agent.actor_critic.critic_target.critics,
        (1.0, -2.0),
        (7.0, 5.0),
        strict=True,
    ):
        make_constant(critic, value)
        make_constant(target, later)
    features = torch.randn(4, 3, agent.world_model.latent_size)
    loss = agent._critic_loss(features, batch)

    errors = []
    for b, steps in ((0, 3), (1, 3), (2, 2)):
        for t in range(steps):
            target = float(batch.rewards[t, b])
            if not batch.terminated[t, b]:
                target += 0.9 * (5 - 0.5 * float(log_density[t, b]))
            errors.append((1 - target) ** 2 + (-2 - target) ** 2)
    assert loss.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_critics_see_each_step_and_their_targets_the_next_one(
    make_agent: MakeAgent, hand_made: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent()
    batch = hand_made()
    features = torch.randn(4, 3, agent.world_model.latent_size)
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name in ("critic", "critic_target"):

        def note(z: torch.Tensor, a: torch.Tensor, name: str = name) -> Any:
            seen[name] = z, a
            return torch.zeros(3, 3), torch.zeros(3, 3)

        monkeypatch.setattr(getattr(agent.actor_critic, name), "forward", note)
    action = torch.rand(3, 3, 2)
    acted = []
    monkeypatch.setattr(
        agent.actor_critic.actor,
        "sample",
        lambda z, _: acted.append(z) or (action, torch.zeros(3, 3)),
    )
    agent._critic_loss(features, batch)
    assert torch.equal(seen["critic"][0], features[:-1])
    assert torch.equal(seen["critic"][1], batch.actions[:-1])
    assert torch.equal(seen["critic_target"][0], features[1:])
    assert torch.equal(seen["critic_target"][1], action)
    assert torch.equal(acted[0], features[1:])


def test_no_gradient_flows_through_the_target(make_agent: MakeAgent, hand_made: HandMade) -> None:
    agent = make_agent()
    features = torch.randn(4, 3, agent.world_model.latent_size, requires_grad=True)
    agent._critic_loss(features, hand_made()).backward()
    assert features.grad is not None
    assert features.grad[:-1].abs().max() > 0 and not features.grad[-1].any()
    others = [
        *agent.actor_critic.critic_target.parameters(),
        *agent.actor_critic.actor.parameters(),
    ]
    assert all(parameter.grad is None for parameter in others)
    assert agent.actor_critic.log_entropy_weight.grad is None


def test_target_critics_follow_at_their_rate(make_agent: MakeAgent, hand_made: HandMade) -> None:
    agent = make_agent(agent={"target_rate": 0.2})
    targets = list(agent.actor_critic.critic_target.parameters())
    for _ in range(2):
        before = copies(targets)
        agent.update(hand_made())
        after = list(agent.actor_critic.critic.parameters())
        for old, critic, target in zip(before, after, targets, strict=True):
            torch.testing.assert_close(target, 0.8 * old + 0.2 * critic.detach())
        assert changed(before, targets)


@pytest.mark.parametrize("joint", [True, False])
def test_the_agent_learns_several_times_from_the_latents_of_a_batch(
    make_agent: MakeAgent, hand_made: HandMade, monkeypatch: pytest.MonkeyPatch, joint: bool
) -> None:
    agent = make_agent(agent={"agent_updates": 3, "joint_update": joint})
    seen: list[torch.Tensor] = []
    criticise = agent._critic_loss

    def note(features: torch.Tensor, batch: SequenceBatch) -> torch.Tensor:
        seen.append(features.detach())
        return criticise(features, batch)

    monkeypatch.setattr(agent, "_critic_loss", note)
    agent.update(hand_made())
    assert len(seen) == 3
    assert all(torch.equal(features, seen[0]) for features in seen)
    taken = {
        "model": agent.optimizers.model.state[agent._theta[0]]["step"],
        "critic": agent.optimizers.critic.state[agent._critic_parameters[0]]["step"],
        "actor": agent.optimizers.actor.state[agent._actor_parameters[0]]["step"],
        "entropy": agent.optimizers.entropy.state[agent.actor_critic.log_entropy_weight]["step"],
    }
    assert taken == {"model": 1, "critic": 3, "actor": 3, "entropy": 3}
    if not joint:
        assert agent.optimizers.critic.state[agent._theta[0]]["step"] == 1


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 0.0),
        ({"camera_jitter": 0.2}, 0.5),
        ({"texture_opacity": 1.0, "color_jitter": 0.3}, 0.5),
        ({"camera_jitter": 0.2, "texture_opacity": 1.0, "color_jitter": 0.3}, 0.75),
    ],
    ids=["neither", "camera", "textures", "both"],
)
def test_the_learner_sees_augmented_frames(
    make_agent: MakeAgent,
    hand_made: HandMade,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, float],
    share: float,
) -> None:
    agent = make_agent(augmentation=settings)
    seen: list[torch.Tensor] = []
    encode = agent.world_model.encode

    def note(frames: torch.Tensor, proprioception: torch.Tensor) -> torch.Tensor:
        seen.append(frames)
        return encode(frames, proprioception)

    monkeypatch.setattr(agent.world_model, "encode", note)
    batch = hand_made(length=10, batch_size=40)
    original = batch.frames.clone()
    agent.update(batch)
    changed = (seen[0] != batch.frames).flatten(2).any(-1).float().mean().item()
    # Camera and textures choose their halves independently.
    assert changed == pytest.approx(share, abs=0.07 if share == 0.75 else 0.0)
    assert torch.equal(batch.frames, original)


# The joint update and the sequential one


class Gradients:
    """What the optimisers would have been given, in place of their steps."""

    def __init__(self, agent: CoReSAC, monkeypatch: pytest.MonkeyPatch) -> None:
        self.theta: list[list[torch.Tensor | None]] = []
        self.critic: list[list[torch.Tensor | None]] = []

        def note(history: list[Any], parameters: list[Any]) -> Callable[[], None]:
            return lambda: history.append(
                [None if p.grad is None else p.grad.clone() for p in parameters]
            )

        steps = note(self.theta, agent._model_parameters)
        monkeypatch.setattr(agent.optimizers.model, "step", steps)
        steps = note(self.critic, agent._critic_parameters)
        monkeypatch.setattr(agent.optimizers.critic, "step", steps)


def test_the_joint_update_weighs_only_the_critics_gradient_into_theta(
    make_agent: MakeAgent, hand_made: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = hand_made()
    gradients = []
    for weight in (1.0, 0.1, 0.0):
        agent = make_agent(objectives=NO_MODEL_LOSS, agent={"critic_weight": weight, **UNCLIPPED})
        gradients.append(Gradients(agent, monkeypatch))
        agent._joint_update(batch)
    full, tenth, none = gradients
    assert any(g is not None and g.abs().max() > 1e-4 for g in full.theta[0])
    for one, part, zero in zip(full.theta[0], tenth.theta[0], none.theta[0], strict=True):
        if one is not None:
            torch.testing.assert_close(part, 0.1 * one, rtol=1e-3, atol=1e-7)
            assert not zero.any()
    for other in (tenth, none):
        for one, same in zip(full.critic[0], other.critic[0], strict=True):
            torch.testing.assert_close(one, same)
            assert one.abs().max() > 0


def test_high_values_do_not_drown_the_models_gradient(
    make_agent: MakeAgent, hand_made: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred times the reward is ten thousand times the loss, and the same step of Θ."""
    batch = hand_made()
    gradients = []
    for scale in (1, 100):
        agent = make_agent(
            objectives=NO_MODEL_LOSS,
            agent={"critic_weight": 1.0, **UNCLIPPED, "latent_max_gradient_norm": 0.01},
        )
        gradients.append(Gradients(agent, monkeypatch))
        agent._joint_update(batch._replace(rewards=scale * batch.rewards))
    small, large = (
        torch.cat([g.flatten() for g in each.theta[0] if g is not None]) for each in gradients
    )
    assert 0.5 < large.norm() / small.norm() < 2
    # The critics themselves learn from all of it.
    small, large = (torch.cat([g.flatten() for g in each.critic[0]]) for each in gradients)
    assert large.norm() / small.norm() > 10


def test_the_joint_update_adds_both_gradients(
    make_agent: MakeAgent, hand_made: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = hand_made()
    gradients = []
    for loss, weight in (({}, 0.5), ({}, 0.0), (NO_MODEL_LOSS, 0.5)):
        agent = make_agent(objectives=loss, agent={"critic_weight": weight, **UNCLIPPED})
        gradients.append(Gradients(agent, monkeypatch))
        agent._joint_update(batch)
    for both, model, critic in zip(*(g.theta[0] for g in gradients), strict=True):
        torch.testing.assert_close(both, model + critic, rtol=1e-3, atol=1e-6)


def test_the_sequential_update_moves_theta_twice(
    make_agent: MakeAgent, hand_made: HandMade
) -> None:
    agent = make_agent(agent={"joint_update": False})
    history = [copies(agent._theta)]
    for optimizer in (agent.optimizers.model, agent.optimizers.critic):

        def step(plain: Callable[[], Any] = optimizer.step) -> None:
            plain()
            history.append(copies(agent._theta))

        optimizer.step = step  # type: ignore[method-assign]
    temperature = agent.world_model.objectives.frames.inverse_temperature_logit
    agent._sequential_update(hand_made())
    before, after_model, after_critic = history
    assert changed(before, after_model) and changed(after_model, after_critic)
    names = [
        n
        for n, _ in agent.world_model.named_parameters()
        if not n.endswith("inverse_temperature_logit")
    ]
    for name, old, new in zip(names, after_model, after_critic, strict=True):
        # The critics read [h, mean] of the posterior: no head and no prior has a part in it.
        part = name.startswith(("encoder", "dynamics")) and "prior" not in name
        assert part != torch.equal(old, new), name
    assert temperature.grad is None and temperature.item() != 1


def test_the_sequential_update_looks_at_the_sequence_afresh(
    make_agent: MakeAgent, hand_made: HandMade
) -> None:
    """With a model that the first step changed, the critics' features are the new ones."""
    agent = make_agent(
        dynamics={"initial_std": 0.0},
        agent={"joint_update": False, "critic_to_model_learning_rate": 1e-12},
    )
    batch = hand_made()
    with torch.no_grad():
        old = agent.world_model.observe(batch.frames, batch.actions, batch.is_first)[1].h
    features = agent._sequential_update(batch)
    with torch.no_grad():
        new = agent.world_model.observe(batch.frames, batch.actions, batch.is_first)[1].h
    # The first h follows from no sample; later ones do.
    torch.testing.assert_close(features[0, :, :9], new[0], atol=1e-6, rtol=0)
    assert not torch.allclose(old[0], new[0], atol=1e-5)
    assert not features.requires_grad


def test_encoder_temperature_and_the_rest_have_learning_rates_of_their_own(
    make_agent: MakeAgent, hand_made: HandMade
) -> None:
    agent = make_agent(
        agent={
            "model_learning_rate": 1e-3,
            "encoder_learning_rate": 3e-3,
            "temperature_learning_rate": 0.02,
        }
    )
    before = {name: copies([p])[0] for name, p in agent.world_model.named_parameters()}
    agent._joint_update(hand_made())
    for name, parameter in agent.world_model.named_parameters():
        rate = 3e-3 if name.startswith("encoder") else 1e-3
        rate = 0.02 if name.endswith("inverse_temperature_logit") else rate
        # Adam's first step is the learning rate, whatever the gradient.
        step = (parameter - before[name]).abs().max().item()
        assert step == pytest.approx(rate, rel=1e-2), name


@pytest.mark.parametrize("joint", [True, False])
def test_gradients_are_clipped(
    make_agent: MakeAgent, hand_made: HandMade, monkeypatch: pytest.MonkeyPatch, joint: bool
) -> None:
    norms = {
        "model_max_gradient_norm": 1e-3,
        "critic_max_gradient_norm": 1e-4,
        "actor_max_gradient_norm": 1e-5,
    }
    agent = make_agent(agent={"joint_update": joint, **norms})
    seen = Gradients(agent, monkeypatch)
    agent.update(hand_made())

    def norm(gradients: list[torch.Tensor | None]) -> float:
        return math.hypot(*(float(g.norm()) for g in gradients if g is not None))

    for gradients in seen.theta:
        assert norm(gradients) == pytest.approx(1e-3, rel=1e-2)
    assert norm(seen.critic[0]) == pytest.approx(1e-4, rel=1e-2)
    assert norm([p.grad for p in agent._actor_parameters]) == pytest.approx(1e-5, rel=1e-2)


@pytest.mark.parametrize("joint", [True, False])
def test_padding_teaches_nothing(make_agent: MakeAgent, hand_made: HandMade, joint: bool) -> None:
    batch, other = hand_made(), hand_made()
    batch.mask[2:, 1] = False
    acted = torch.zeros_like(batch.mask)
    acted[:-1] = batch.mask[1:]
    mixed = batch._replace(
        frames=torch.where(batch.mask[..., None, None, None], batch.frames, other.frames),
        actions=torch.where(acted[..., None], batch.actions, other.actions),
        rewards=torch.where(acted, batch.rewards, other.rewards),
        terminated=batch.terminated | ~acted,
    )
    learned = []
    for each in (batch, mixed):
        agent = make_agent(agent={"joint_update": joint})
        agent.update(each)
        learned.append(agent.policy.state_dict())
    for name, tensor in learned[0].items():
        # Adam divides by the root of a gradient's square: what is almost zero may be stepped either
        # way, but not by more than the learning rate 1e-3 or 2e-3.
        close = torch.isclose(tensor, learned[1][name], atol=1e-6)
        assert close.float().mean() > 0.99, name


def test_nothing_follows_the_end_of_an_episode_in_a_sequence(
    make_agent: MakeAgent,
    hand_made: HandMade,
    joined_and_apart: Callable[[SequenceBatch], tuple[SequenceBatch, SequenceBatch]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = hand_made(length=6, batch_size=2)
    batch.terminated[4, 0] = True
    features = torch.randn(6, 2, 14)
    losses = []
    for half, each in zip((6, 3), joined_and_apart(batch), strict=True):
        agent = make_agent()
        actor = agent.actor_critic.actor
        # The same draw for the same state, wherever it stands.
        monkeypatch.setattr(actor, "sample", lambda z, _, actor=actor: (actor.mode(z), z.sum(-1)))
        seen = features if half == 6 else torch.cat([features[:3], features[3:]], 1)
        losses.append(agent._critic_loss(seen, each))
        agent._actor_update(seen, each.follows)
        agent.read_losses()
        losses.append(torch.tensor(agent.logger.name_to_value["train/policy_entropy"]))
    torch.testing.assert_close(losses[:2], losses[2:])


# Actor and entropy weight


def test_the_actors_loss_teaches_the_actor_alone(
    make_agent: MakeAgent, hand_made: HandMade
) -> None:
    agent = make_agent()
    batch = hand_made()
    features = torch.randn(4, 3, agent.world_model.latent_size)
    others = {
        name: tensor.clone()
        for name, tensor in agent.policy.state_dict().items()
        if "actor" not in name and "entropy" not in name
    }
    actor = copies(agent._actor_parameters)
    agent._actor_update(features, batch.follows)
    assert changed(actor, agent._actor_parameters)
    for name, tensor in others.items():
        assert torch.equal(tensor, agent.policy.state_dict()[name]), name
    for parameter in [*agent._theta, *agent._critic_parameters]:
        assert parameter.grad is None and parameter.requires_grad


class Bowl(nn.Module):
    """Critics that know the best action, 0.5 in every dimension; the second one's is the lower."""

    def forward(
        self, features: torch.Tensor, action: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        value = -10 * (action - 0.5).square().sum(-1)
        return 3 + 2 * action.sum(-1), value


def test_the_actor_climbs_the_lower_critic(make_agent: MakeAgent) -> None:
    agent = make_agent(
        agent={"actor_learning_rate": 3e-2, "initial_log_entropy_weight": math.log(1e-3)}
    )
    agent.actor_critic.critic = Bowl()
    features = torch.randn(4, 3, agent.world_model.latent_size)
    mask = torch.ones(4, 3, dtype=torch.bool)
    for _ in range(80):
        agent._actor_update(features, mask[1:])
    # Samples of the actor leave about 0.02 around the best action.
    torch.testing.assert_close(
        agent.actor_critic.actor.mode(features[:-1]), torch.full((3, 3, 2), 0.5), atol=0.1, rtol=0
    )


@pytest.mark.parametrize("spread", [-3.0, 1.6])
def test_the_entropy_weight_pulls_the_entropy_to_its_target(
    make_agent: MakeAgent, spread: float
) -> None:
    agent = make_agent(agent={"entropy_learning_rate": 0.01, "actor_learning_rate": 1e-12})
    assert agent.target_entropy == -2
    last = agent.actor_critic.actor.network[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 0.0, spread, spread]))
    features = torch.zeros(50, 40, agent.world_model.latent_size)
    mask = torch.ones(50, 40, dtype=torch.bool)
    mask[:, 20:] = False
    before = agent.actor_critic.log_entropy_weight.item()
    agent._actor_update(features, mask[1:])
    entropy = losses_of(agent)["policy_entropy"]
    step = agent.actor_critic.log_entropy_weight.item() - before
    # σ is 8e-5 or 1.0: after the tanh, far below and above the entropy asked for.
    assert (entropy > -2) == (spread > 0)
    assert step == pytest.approx(-math.copysign(0.01, spread), rel=1e-3)


def test_the_entropy_is_the_mean_of_minus_the_log_density(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent()
    log_density = torch.randn(3, 3, requires_grad=True)
    monkeypatch.setattr(
        agent.actor_critic.actor, "sample", lambda features, _: (torch.zeros(3, 3, 2), log_density)
    )
    for critic, value in zip(agent.actor_critic.critic.critics, (4.0, 9.0), strict=True):
        make_constant(critic, value)
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[2:, 1] = False
    weight = agent.actor_critic.entropy_weight.item()
    agent._actor_update(torch.zeros(4, 3, agent.world_model.latent_size), mask[1:])
    mean = log_density.detach()[mask[1:]].mean().item()
    logged = losses_of(agent)
    assert logged["policy_entropy"] == pytest.approx(-mean, rel=1e-5)
    assert logged["actor_loss"] == pytest.approx(weight * mean - 4, rel=1e-5)


def test_the_entropy_weight_is_bounded(make_agent: MakeAgent, hand_made: HandMade) -> None:
    agent = make_agent(
        agent={
            "entropy_learning_rate": 5.0,
            "initial_log_entropy_weight": 1.0,
            "max_log_entropy_weight": 2.0,
        }
    )
    with torch.no_grad():
        agent.actor_critic.actor.network[-1].bias[2:] = -9
    agent._actor_update(torch.zeros(4, 3, agent.world_model.latent_size), hand_made().follows)
    assert agent.actor_critic.log_entropy_weight.item() == 2


# Whole updates


@pytest.mark.parametrize("joint", [True, False])
def test_updates_learn_a_batch_by_heart(
    make_agent: MakeAgent, hand_made: HandMade, joint: bool
) -> None:
    rates = {
        "model_learning_rate": 1e-2,
        "encoder_learning_rate": 1e-2,
        "critic_learning_rate": 1e-2,
        "critic_to_model_learning_rate": 1e-2,
        "actor_learning_rate": 1e-2,
        "discount": 0.0,
    }
    agent = make_agent(agent={"joint_update": joint, **rates})
    batch = hand_made()
    history = []
    for _ in range(80):
        agent.update(batch)
        history.append(losses_of(agent))
    first, last = history[0], history[-1]
    assert last["contrastive_loss"] < 0.5 * last["contrastive_chance"]
    assert last["critic_loss"] < 0.5 * first["critic_loss"]
    assert last["reward_loss"] < 0.7 * first["reward_loss"]
    assert agent.updates == 80


@pytest.mark.parametrize("joint", [True, False])
def test_bfloat16_learns_about_the_same_in_float32_weights(
    make_agent: MakeAgent, hand_made: HandMade, joint: bool
) -> None:
    batch = hand_made()
    values = []
    for precision in ("float32", "bfloat16"):
        agent = make_agent(agent={"precision": precision, "joint_update": joint})
        agent.update(batch)
        assert all(p.dtype == torch.float32 for p in agent.policy.parameters())
        assert all(torch.isfinite(p).all() for p in agent.policy.parameters())
        values.append(losses_of(agent))
    for name, value in values[0].items():
        # bfloat16 has 8 bits: each product is off by up to 0.4 %, a loss by some per cent.
        assert values[1][name] == pytest.approx(value, rel=0.1, abs=0.1), name


def test_networks_can_be_compiled(
    make_agent: MakeAgent, hand_made: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The compiler's stand-ins for tensors do not pass the tests' checks of shapes.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    batch = hand_made()
    trained = []
    for compiled in (False, True):
        agent = make_agent()
        names = list(agent.policy.state_dict())
        compilations: list[str] = []

        def backend(
            graph: torch.fx.GraphModule, _: Any, names: list[str] = compilations
        ) -> Callable[..., Any]:
            names.append(str(graph.graph))
            return graph.forward

        if compiled:
            agent.world_model.encoder.compile(backend=backend)
            agent.actor_critic.critic.compile(backend=backend)
        agent.update(batch)
        assert bool(compilations) == compiled
        assert list(agent.policy.state_dict()) == names
        trained.append(copies(agent.policy.parameters()))
    for plain, other in zip(*trained, strict=True):
        torch.testing.assert_close(plain, other)


def test_latents_and_encodings_are_float32_under_autocast(
    make_agent: MakeAgent, hand_made: HandMade
) -> None:
    agent = make_agent(agent={"precision": "bfloat16"})
    batch = hand_made()
    with agent._autocast():
        losses, posterior = agent._model_losses(batch)
        x = agent.world_model.encode(batch.frames)
    values = (*posterior.tensors, *losses.named().values(), x)
    assert all(value.dtype == torch.float32 for value in values)


def test_precision_is_chosen_by_hardware_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    assert autocast_dtype("float32", cpu) is None
    assert autocast_dtype("bfloat16", cpu) == torch.bfloat16
    for can, expected in (
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False}, None),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda can=can: can)
        assert autocast_dtype("auto", cpu) == expected
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert autocast_dtype("auto", cpu) is None
