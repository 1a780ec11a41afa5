"""FeedForwardSAC: SAC on stacked frames, the form of the baselines with code of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from core_repr.agent.feed_forward.algorithm import FeedForwardAlgorithm, adam
from core_repr.agent.feed_forward.networks import FeedForwardActor
from core_repr.agent.feed_forward.pairs import EpisodePairs
from core_repr.agent.feed_forward.similarity import policy_distance, similarity_loss
from core_repr.config import FeedForwardSACConfig, PolicySimilarityConfig
from core_repr.world_model import Observed, OtherViews, SequenceBatch
from core_repr.world_model.latent import LatentState


class FeedForwardSAC(FeedForwardAlgorithm):
    """SAC on stacked frames, learned from single steps: SAC + RAD, CURL, DBC, SAC + DrQ, PSE.

    After Laskin et al., 2020, "Reinforcement Learning with Augmented Data" and "CURL: Contrastive
    Unsupervised Representations for Reinforcement Learning", Zhang et al., 2021, "Learning
    Invariant Representations for Reinforcement Learning without Reconstruction" (DBC), Yarats et
    al., 2021, "Image Augmentation Is All You Need" (DrQ), and Agarwal et al., 2021, "Contrastive
    Behavioral Similarity Embeddings for Generalization in Reinforcement Learning" (PSE).
    An update is of J_Q, of the objectives where there are any, of J_π and the entropy weight, of
    the policy's similarity where there is one, and of the slow copies.
    :class:`~core_repr.agent.sequence_algorithm.SequenceAlgorithm` lists the arguments.

    Example:
        >>> from core_repr.config import compact, make_variant
        >>> config = make_variant(compact(), "curl")
        >>> FeedForwardSAC("CoRePolicy", env, config).learn(20_000)  # doctest: +SKIP
    """

    settings = FeedForwardSACConfig
    _pairs: EpisodePairs | None = None

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
        if settings.similarity is not None:
            assert networks.embedding is not None
            compared: dict[str, nn.Parameter] = {
                **{n: p for n, p in shared.items() if n.startswith("encoder.convolutions.")},
                **of_actor,
                **dict(self._actor.hidden.named_parameters(prefix="actor.network")),
                **dict(networks.embedding.named_parameters(prefix="embedding")),
            }
            optimizers["similarity"] = adam(compared, settings.similarity.learning_rate)
            if self.env is not None:
                self._pairs = EpisodePairs.read(settings.similarity.pairs, self.config)
        return optimizers

    @property
    def _actor(self) -> FeedForwardActor:
        assert isinstance(self.actor_critic.actor, FeedForwardActor)
        return self.actor_critic.actor

    def _update(self, batch: SequenceBatch) -> None:
        """Makes one update."""
        settings, views = self._settings, range(self._settings.views)
        frames = [self._stacked(batch.frames[:-1]) for _ in views]
        later = [self._stacked(batch.frames[1:]) for _ in views]
        self._critic_update(frames, later, batch)
        if len(self.world_model.objectives):
            self._model_update(frames[0], later[0], batch)
        if self.updates % settings.actor_interval == 0:
            self._actor_update(frames[0], batch)
        if settings.similarity is not None:
            self._similarity_update(settings.similarity)
        if self.updates % settings.target_interval == 0:
            self._follow()

    def _critic_update(
        self, frames: list[Tensor], later: list[Tensor], batch: SequenceBatch
    ) -> None:
        """A step of critics and encoder for J_Q.

        Args:
            frames: Views of the observations.
            later: Views of those that follow.
            batch: The mini-batch.
        """
        networks, model = self.actor_critic, self.world_model
        now, after = batch.proprioception[-2:]
        with self._autocast():
            with torch.no_grad():
                values = []
                for view in later:
                    action, log_density = networks.actor.sample(
                        model.encode(view, after), self.policy.generator
                    )
                    encoded = networks.of_critics(self._encode_slowly(view, after))
                    value = torch.min(*networks.critic_target(encoded, action))
                    values.append(value - networks.entropy_weight * log_density)
                value = torch.stack(values).mean(0).masked_fill(batch.terminated[-2], 0)
                target = batch.rewards[-2] + self.gamma * value
            errors = []
            for view in frames:
                features = networks.of_critics(model.encode(view, now))
                errors += [
                    F.mse_loss(value, target)
                    for value in networks.critic(features, batch.actions[-2])
                ]
        loss = torch.stack(errors).sum()
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

    def _setup_learn(self, *arguments: Any, **options: Any) -> tuple[int, BaseCallback]:
        similarity = self._settings.similarity
        if similarity is not None and self._pairs is None:
            # An agent that was loaded without an environment.
            self._pairs = EpisodePairs.read(similarity.pairs, self.config)
        return super()._setup_learn(*arguments, **options)

    def _similarity_update(self, settings: PolicySimilarityConfig) -> None:
        """A step of convolutions and actor for the policy's similarity, on a pair of episodes."""
        assert self._pairs is not None and self.actor_critic.embedding is not None
        rng, depth = self.replay_buffer.rng, self.encoder.frame_stack
        pair = self._pairs.draw(rng)
        first, second = (records["action"][:-1] for records in pair)
        distance = policy_distance(first, second, settings.discount).astype(np.float32)
        rows = rng.permutation(len(distance))[: settings.states]
        changes = int(rng.integers(2**63))
        embedded: list[Tensor] = []
        for records in pair:
            count = len(records) - 1
            # The first frame stands for those before it.
            stack = (np.arange(count) + np.arange(1 - depth, 1)[:, None]).clip(0)
            frames = torch.from_numpy(records["frame"][stack]).to(self.device)
            view = self._stacked(frames, torch.Generator().manual_seed(changes))
            chosen = np.arange(count) if embedded else rows
            with self._autocast():
                features = self.encoder.of_actor(self.encoder.convolve(view[chosen]))
                if self.world_model.proprioception_encoder is not None:
                    # A copy: a field of records does not lie as tensors do.
                    own = torch.from_numpy(np.ascontiguousarray(records["proprioception"][chosen]))
                    with torch.no_grad():
                        told = self.world_model.proprioception_encoder(own.to(self.device))
                    features = torch.cat([features, told], -1)
                embedded.append(self.actor_critic.embedding(self._actor.hidden(features)).float())
        loss = similarity_loss(
            embedded[0],
            embedded[1],
            torch.from_numpy(distance[rows]).to(self.device),
            settings.temperature,
            settings.coupling,
        )
        self.optimizers.similarity.zero_grad()
        loss.backward()
        self.optimizers.similarity.step()
        self.note({"similarity_loss": loss.detach()})

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
