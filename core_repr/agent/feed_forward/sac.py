"""FeedForwardSAC: SAC on stacked frames, the form of the baselines with code of their own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from core_repr.agent.feed_forward.algorithm import FeedForwardAlgorithm, adam
from core_repr.config import FeedForwardSACConfig
from core_repr.world_model import Observed, OtherViews, SequenceBatch
from core_repr.world_model.latent import LatentState


class FeedForwardSAC(FeedForwardAlgorithm):
    """SAC on stacked frames, learned from single steps: SAC + RAD, CURL, DBC.

    After Laskin et al., 2020, "Reinforcement Learning with Augmented Data" and "CURL: Contrastive
    Unsupervised Representations for Reinforcement Learning", and Zhang et al., 2021, "Learning
    Invariant Representations for Reinforcement Learning without Reconstruction" (DBC).
    An update is of J_Q, of the objectives where there are any, of J_π and the entropy weight, and
    of the slow copies.
    :class:`~core_repr.agent.sequence_algorithm.SequenceAlgorithm` lists the arguments.

    Example:
        >>> from core_repr.config import compact, make_variant
        >>> config = make_variant(compact(), "curl")
        >>> FeedForwardSAC("CoRePolicy", env, config).learn(20_000)  # doctest: +SKIP
    """

    settings = FeedForwardSACConfig

    @property
    def _settings(self) -> FeedForwardSACConfig:
        assert isinstance(self.config.agent, FeedForwardSACConfig)
        return self.config.agent

    def _make_optimizers(self) -> dict[str, Optimizer]:
        settings = self._settings
        shared, of_actor, heads, critic = self._take_networks()
        networks = self.actor_critic
        actor = {**of_actor, **dict(networks.actor.named_parameters(prefix="actor"))}
        optimizers: dict[str, Optimizer] = {
            "critic": adam({**shared, **critic}, settings.critic_learning_rate),
            "actor": adam(actor, settings.actor_learning_rate),
            "entropy": Adam(
                [("log_entropy_weight", networks.log_entropy_weight)],
                lr=settings.entropy_learning_rate,
                betas=(0.5, 0.999),
            ),
        }
        if len(self.world_model.objectives):
            optimizers["model"] = Adam(
                [
                    {"params": [*shared.items()], "lr": settings.encoder_learning_rate},
                    {
                        "params": [*heads.items()],
                        "lr": settings.model_learning_rate,
                        "weight_decay": settings.model_weight_decay,
                    },
                ],
                fused=True,
            )
        return optimizers

    def _update(self, batch: SequenceBatch) -> None:
        """Makes one update."""
        settings = self._settings
        frames = self._stacked(batch.frames[:-1])
        later = self._stacked(batch.frames[1:])
        self._critic_update(frames, later, batch)
        if len(self.world_model.objectives):
            self._model_update(frames, later, batch)
        if self.updates % settings.actor_interval == 0:
            self._actor_update(frames, batch)
        if self.updates % settings.target_interval == 0:
            self._follow()

    def _critic_update(self, frames: Tensor, later: Tensor, batch: SequenceBatch) -> None:
        """A step of critics and encoder for J_Q."""
        networks, model = self.actor_critic, self.world_model
        proprioception = batch.proprioception
        with self._autocast():
            with torch.no_grad():
                action, log_density = networks.actor.sample(
                    model.encode(later, proprioception[-1]), self.policy.generator
                )
                encoded = self._encode_slowly(later, proprioception[-1])
                value = torch.min(*networks.critic_target(networks.of_critics(encoded), action))
                value = value - networks.entropy_weight * log_density
                target = batch.rewards[-2] + self.gamma * value.masked_fill(batch.terminated[-2], 0)
            features = model.encode(frames, proprioception[-2])
            first, second = networks.critic(networks.of_critics(features), batch.actions[-2])
        loss = F.mse_loss(first, target) + F.mse_loss(second, target)
        self.optimizers.critic.zero_grad()
        loss.backward()
        self.optimizers.critic.step()
        self.note({"critic_loss": loss.detach()})

    def _model_update(self, frames: Tensor, later: Tensor, batch: SequenceBatch) -> None:
        """A step of encoder and heads for J_M."""
        model, objectives = self.world_model, self.world_model.objectives
        proprioception = batch.proprioception
        second = None
        if objectives.views > 1:
            second = self._stacked(batch.frames[:-1])[None]
        with self._autocast():
            x = model.encode(frames, proprioception[-2])[None]
            shown = slice(-2, -1)
            if not objectives.frames_alone:
                with torch.no_grad():
                    x = torch.cat([x, model.encode(later, proprioception[-1])[None]])
                shown = slice(-2, None)
            steps = SequenceBatch(*(part[shown] for part in batch))
            nothing = x.new_empty(*x.shape[:2], 0)
            observed = Observed(
                steps, x, None, LatentState(x, nothing, nothing, nothing), OtherViews(second=second)
            )
            losses = model.losses(observed)
        self.note(losses.named())
        self.optimizers.model.zero_grad()
        losses.total.backward()
        self.optimizers.model.step()

    def _actor_update(self, frames: Tensor, batch: SequenceBatch) -> None:
        """A step of the actor for J_π, and of the entropy weight; convolutions stay."""
        networks, model = self.actor_critic, self.world_model
        with self._autocast():
            with torch.no_grad():
                convolved = self.encoder.convolve(frames)
            features = self.encoder.heads(convolved)
            if model.proprioception_encoder is not None:
                with torch.no_grad():
                    own = model.proprioception_encoder(batch.proprioception[-2])
                features = torch.cat([features, own], -1)
            action, log_density = networks.actor.sample(features, self.policy.generator)
            value = torch.min(*networks.critic(networks.of_critics(features.detach()), action))
            loss = (networks.entropy_weight * log_density - value).mean()
        self.optimizers.actor.zero_grad()
        loss.backward()
        self.optimizers.actor.step()
        entropy = -log_density.detach().mean()
        weight = networks.log_entropy_weight.exp()
        self.optimizers.entropy.zero_grad()
        (weight * (entropy + self.environment_config.action_size)).backward()
        self.optimizers.entropy.step()
        self.note(
            {
                "actor_loss": loss.detach(),
                "policy_entropy": entropy,
                "entropy_weight": networks.entropy_weight,
            }
        )
