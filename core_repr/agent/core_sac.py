"""CoReSAC: soft actor-critic and a CoRe world model that learn together (Algorithm 1)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from core_repr.agent.imagination import lambda_returns, roll_out
from core_repr.agent.networks import ActorCritic
from core_repr.agent.sequence_algorithm import Parameters, SequenceAlgorithm
from core_repr.config import ImaginationConfig, SACConfig
from core_repr.world_model import (
    NO_OTHER_VIEWS,
    LatentState,
    OtherViews,
    SequenceBatch,
    WorldModelLosses,
)
from core_repr.world_model.objectives.losses import masked_mean


class CoReSAC(SequenceAlgorithm):
    """Recurrent SAC whose critics, actor and world model learn from the same sequences.

    Each mini-batch serves J_M, J_Q and J_π, one after the other or, in the joint update, the
    first two at once. :class:`~core_repr.agent.sequence_algorithm.SequenceAlgorithm` lists the
    arguments and says how episodes are collected, saved and loaded.

    Example:
        >>> import gymnasium as gym, core_repr  # doctest: +SKIP
        >>> env = gym.make("distracting_control/cartpole-swingup-v0")  # doctest: +SKIP
        >>> agent = CoReSAC("CoRePolicy", env).learn(20_000)  # doctest: +SKIP
    """

    settings = SACConfig

    def _make_optimizers(self) -> dict[str, Optimizer]:
        settings, networks = self._settings, self.policy.actor_critic
        assert isinstance(networks, ActorCritic)
        self.actor_critic = networks
        self.target_entropy = -float(self.environment_config.action_size)
        groups = self.world_model.parameter_groups()
        temperature = groups.pop("temperature", {})
        theta = {name: parameter for group in groups.values() for name, parameter in group.items()}
        judge = networks.judge_name
        critic = dict(networks.judge.named_parameters(prefix=judge))
        actor = dict(networks.actor.named_parameters(prefix="actor"))
        self._theta: Parameters = [*theta.values()]
        self._model_parameters: Parameters = [*theta.values(), *temperature.values()]
        self._critic_parameters: Parameters = [*critic.values()]
        self._actor_parameters: Parameters = [*actor.values()]
        self._target_parameters: Parameters = [*networks.judge_target.parameters()]

        imagination = settings.imagination
        critic_rate, actor_rate = (
            (settings.critic_learning_rate, settings.actor_learning_rate)
            if imagination is None
            else (imagination.value_learning_rate, imagination.actor_learning_rate)
        )
        of_critic = [_group(critic, critic_rate)]
        if not settings.joint_update and settings.critic_weight:
            of_critic.append(_group(theta, settings.critic_to_model_learning_rate))
        of_model = [
            _group(groups["encoder"], settings.encoder_learning_rate),
            _group(groups["model"], settings.model_learning_rate),
            _group(temperature, settings.temperature_learning_rate),
        ]
        weight = {"log_entropy_weight": networks.log_entropy_weight}
        return {
            "model": Adam([group for group in of_model if group["params"]], fused=True),
            judge: Adam(of_critic, fused=True),
            "actor": Adam([_group(actor, actor_rate)], fused=True),
            "entropy": Adam([_group(weight, settings.entropy_learning_rate)], betas=(0.5, 0.999)),
        }

    @property
    def _settings(self) -> SACConfig:
        assert isinstance(self.config.agent, SACConfig)
        return self.config.agent

    def _update(self, batch: SequenceBatch) -> None:
        """Makes one update of world model, critics, actor and entropy weight.

        The first ``config.agent.initial_updates`` are of the world model alone, unless the agent
        was loaded.
        """
        batch, others = self._seen(batch)
        settings = self._settings
        if self.acts_at_random and self.updates < settings.initial_updates:
            self._model_update(batch, others)
            return
        if settings.imagination is not None:
            posterior = self._model_update(batch, others)
            for _ in range(settings.agent_updates):
                self._imagination_update(batch, posterior, settings.imagination)
            return
        if settings.joint_update:
            features = self._joint_update(batch, others)
        else:
            features = self._sequential_update(batch, others)
        for further in range(settings.agent_updates):
            if further:
                self._critic_update(features, batch)
            self._actor_update(features, batch.follows)
            self._follow()

    def update_world_model(self, batch: SequenceBatch) -> None:
        """Makes one update of the world model alone.

        Args:
            batch: A mini-batch of whole frames, on the algorithm's device.
        """
        self._model_update(*self._seen(batch))
        self._count_update()

    def model_losses(self, batch: SequenceBatch) -> dict[str, Float[Tensor, ""]]:
        """Returns the terms of J_M by name, without learning from them.

        Args:
            batch: A mini-batch of whole frames, on the algorithm's device.
        """
        seen, others = self._seen(batch)
        with torch.no_grad(), self._autocast():
            noise = self.world_model.noise(self.policy.generator, *batch.mask.shape)
            return self.world_model.losses(
                self.world_model.observe_batch(seen, noise, others)
            ).named()

    def _seen(self, batch: SequenceBatch) -> tuple[SequenceBatch, OtherViews]:
        """Returns a mini-batch as the learner sees it, and its other views."""
        views = [
            self.augment(batch.frames, self.policy.generator)
            for _ in range(self.world_model.objectives.views)
        ]
        others = OtherViews(batch.frames, views[1] if len(views) > 1 else None)
        return batch._replace(frames=views[0]), others

    def _tell_of_termination(self) -> None:
        foresees = self.config.objectives.continuation is not None
        if self._settings.imagination is not None and not (foresees or self._told_of_termination):
            self._told_of_termination = True
            warnings.warn(
                "An episode terminated, but the world model does not predict that: actor and "
                "value learn in imagination as if episodes went on. Train anew with "
                "objectives.continuation, which the variant imagination has.",
                stacklevel=2,
            )

    _told_of_termination = False

    def _follow(self) -> None:
        """A step of the slow copies."""
        with torch.no_grad():
            torch._foreach_lerp_(self._target_parameters, self._critic_parameters, self.tau)

    def _joint_update(
        self, batch: SequenceBatch, others: OtherViews = NO_OTHER_VIEWS
    ) -> Float[Tensor, "t b z"]:
        """One forward pass and one step for J_M and, with a limited weight, J_Q."""
        settings = self._settings
        with self._autocast():
            losses, posterior = self._model_losses(batch, others)
            features = posterior.features
            # The critics' gradient stops here first, to be limited.
            latents = features.detach().requires_grad_()
            critic_loss = self._critic_loss(latents, batch)
        self.optimizers.model.zero_grad()
        self.optimizers.critic.zero_grad()
        critic_loss.backward()
        assert latents.grad is not None
        latents.grad *= settings.critic_weight
        self._clip("latent", [latents], settings.latent_max_gradient_norm)
        torch.autograd.backward([losses.total, features], [None, latents.grad])
        self._clip("model", self._model_parameters, settings.model_max_gradient_norm)
        self.optimizers.model.step()
        self.world_model.objectives.after_step(self.world_model.encoder)
        self._step_critics()
        return latents.detach()

    def _sequential_update(
        self, batch: SequenceBatch, others: OtherViews = NO_OTHER_VIEWS
    ) -> Float[Tensor, "t b z"]:
        """A step for J_M, then a fresh forward pass and a step for J_Q, which may move Θ too."""
        self._model_update(batch, others)
        into_model = self._settings.critic_weight > 0
        with self._autocast(), torch.set_grad_enabled(into_model):
            noise = self.world_model.noise(self.policy.generator, *batch.mask.shape)
            _, posterior = self.world_model.observe(
                batch.frames, batch.actions, batch.is_first, noise, batch.proprioception
            )
            features = posterior.features
        with self._autocast():
            critic_loss = self._critic_loss(features, batch)
        self.optimizers.model.zero_grad()
        self.optimizers.critic.zero_grad()
        critic_loss.backward()
        if into_model:
            gradients = [p.grad for p in self._theta if p.grad is not None]
            self.note({"critic_to_model_gradient_norm": nn.utils.get_total_norm(gradients)})
        self._step_critics()
        return features.detach()

    def _model_update(self, batch: SequenceBatch, others: OtherViews) -> LatentState | None:
        """A step for J_M alone; none where there is no J_M. Returns the posterior before it."""
        if not len(self.world_model.objectives):
            return None
        with self._autocast():
            losses, posterior = self._model_losses(batch, others)
        self.optimizers.model.zero_grad()
        losses.total.backward()
        self._clip("model", self._model_parameters, self._settings.model_max_gradient_norm)
        self.optimizers.model.step()
        self.world_model.objectives.after_step(self.world_model.encoder)
        return posterior.detach()

    def _model_losses(
        self, batch: SequenceBatch, others: OtherViews = NO_OTHER_VIEWS
    ) -> tuple[WorldModelLosses, LatentState]:
        noise = self.world_model.noise(self.policy.generator, *batch.mask.shape)
        observed = self.world_model.observe_batch(batch, noise, others)
        losses = self.world_model.losses(observed)
        self.note(losses.named())
        return losses, observed.posterior

    def _critic_loss(
        self, features: Float[Tensor, "t b z"], batch: SequenceBatch
    ) -> Float[Tensor, ""]:
        """J_Q, equations (3) and (4)."""
        networks = self.actor_critic
        with torch.no_grad():
            later = features[1:].detach()
            action, log_density = networks.actor.sample(later, self.policy.generator)
            value = torch.min(*networks.critic_target(later, action))
            value = value - networks.entropy_weight * log_density
            value = value.masked_fill(batch.terminated[:-1], 0)
            target = batch.rewards[:-1] + self.gamma * value
        first, second = networks.critic(features[:-1], batch.actions[:-1])
        error = (first - target).square() + (second - target).square()
        loss = masked_mean(error, batch.follows)
        self.note({"critic_loss": loss.detach()})
        return loss

    def _critic_update(self, features: Float[Tensor, "t b z"], batch: SequenceBatch) -> None:
        """A step of the critics alone for J_Q."""
        with self._autocast():
            loss = self._critic_loss(features, batch)
        self.optimizers.critic.zero_grad()
        loss.backward()
        self._step_critics()

    def _step_critics(self) -> None:
        self._clip("critic", self._critic_parameters, self._settings.critic_max_gradient_norm)
        self.optimizers.critic.step()

    def _actor_update(
        self, features: Float[Tensor, "t b z"], follows: Bool[Tensor, "pairs b"]
    ) -> None:
        """A step of the actor for J_π, equation (5), and of the entropy weight.

        Both are means over the frames that an action follows, as J_Q is.
        """
        networks, acting = self.actor_critic, features[:-1]
        with self._autocast():
            action, log_density = networks.actor.sample(acting, self.policy.generator)
            networks.critic.requires_grad_(False)
            value = torch.min(*networks.critic(acting, action))
            networks.critic.requires_grad_(True)
            loss = masked_mean(networks.entropy_weight * log_density - value, follows)
        self.optimizers.actor.zero_grad()
        loss.backward()
        entropy = -masked_mean(log_density.detach(), follows)
        self.note({"actor_loss": loss.detach(), "policy_entropy": entropy})
        self._clip("actor", self._actor_parameters, self._settings.actor_max_gradient_norm)
        self.optimizers.actor.step()
        self._entropy_weight_update(entropy)

    def _imagination_update(
        self, batch: SequenceBatch, posterior: LatentState | None, settings: ImaginationConfig
    ) -> None:
        """A step of actor, entropy weight and value for what the world model imagines."""
        assert posterior is not None
        networks, generator = self.actor_critic, self.policy.generator
        # Nothing follows what an episode terminated in.
        ended = torch.zeros_like(batch.mask)
        ended[1:] = batch.terminated[:-1]
        seen = (batch.mask & ~ended).flatten().nonzero().squeeze(-1)
        chosen = torch.randint(len(seen), (settings.starts,), generator=generator)
        start = posterior.map(lambda field: field.flatten(0, 1)).at(seen[chosen.to(seen.device)])
        with self._autocast():
            imagined = roll_out(
                self.world_model, networks.actor, start, settings.horizon, generator
            )
            networks.value.requires_grad_(False)
            values = networks.value(imagined.features)
            networks.value.requires_grad_(True)
        discounts, weights = self.gamma * imagined.continuations, imagined.weights
        decay = settings.trace_decay
        returns = lambda_returns(imagined.rewards, values, discounts, decay)
        scaled = returns / networks.value.scale(returns.detach())
        loss = (weights * (networks.entropy_weight * imagined.log_densities - scaled)).mean()
        self.optimizers.actor.zero_grad()
        loss.backward()
        entropy = -(weights * imagined.log_densities.detach()).sum() / weights.sum()
        self.note({"actor_loss": loss.detach(), "policy_entropy": entropy})
        self._clip("actor", self._actor_parameters, self._settings.actor_max_gradient_norm)
        self.optimizers.actor.step()
        self._entropy_weight_update(entropy)

        features = imagined.features[:-1].detach()
        with self._autocast():
            value_loss = networks.value.loss(features, returns.detach())
            # Near its slow copy.
            with torch.no_grad():
                slow = networks.value_target(features)
            value_loss = (weights * (value_loss + networks.value.loss(features, slow))).mean()
            replayed = self._replayed_value_loss(batch, posterior.features, decay)
            value_loss = value_loss + settings.replay_weight * replayed
        self.optimizers.value.zero_grad()
        value_loss.backward()
        self.note({"value_loss": value_loss.detach(), "imagined_value": values.detach().mean()})
        self._clip("value", self._critic_parameters, self._settings.critic_max_gradient_norm)
        self.optimizers.value.step()
        self._follow()

    def _replayed_value_loss(
        self, batch: SequenceBatch, features: Float[Tensor, "t b z"], decay: float
    ) -> Float[Tensor, ""]:
        """The value's loss for the λ-returns of the rewards that there were."""
        networks, follows = self.actor_critic, batch.follows
        with torch.no_grad():
            values = networks.value_target(features)
            discounts = self.gamma * (~batch.terminated[:-1]).float()
            # What nothing follows is worth its value.
            rewards = torch.where(follows, batch.rewards[:-1], values[:-1])
            discounts = discounts.masked_fill(~follows, 0)
            returns = lambda_returns(rewards, values, discounts, decay)
        return masked_mean(networks.value.loss(features[:-1], returns), follows)

    def _entropy_weight_update(self, entropy: Float[Tensor, ""]) -> None:
        """A step of the entropy weight α for α · (H − H̄), with the entropy H in nats."""
        log_weight = self.actor_critic.log_entropy_weight
        self.optimizers.entropy.zero_grad()
        (log_weight.exp() * (entropy - self.target_entropy)).backward()
        self._clip("entropy_weight", [log_weight], 1.0)
        self.optimizers.entropy.step()
        with torch.no_grad():
            log_weight.clamp_(max=self._settings.max_log_entropy_weight)
        self.note({"entropy_weight": self.actor_critic.entropy_weight})


def _group(parameters: dict[str, nn.Parameter], learning_rate: float) -> dict[str, object]:
    """Returns an optimiser's group of named parameters."""
    named: Iterable[tuple[str, nn.Parameter]] = parameters.items()
    return {"params": list(named), "lr": learning_rate}
