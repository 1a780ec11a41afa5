"""QTOpt: Q-learning whose actions a cross-entropy search finds."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from core_repr.agent.feed_forward.algorithm import FeedForwardAlgorithm, adam
from core_repr.agent.feed_forward.networks import CrossEntropySearch
from core_repr.config import QTOptConfig
from core_repr.world_model import SequenceBatch


class QTOpt(FeedForwardAlgorithm):
    """Q-learning on stacked frames, without an actor: QT-Opt + RAD, QT-Opt + DrQ.

    After Kalashnikov et al., 2018, "QT-Opt: Scalable Deep Reinforcement Learning for Vision-Based
    Robotic Manipulation". How the paper's quoted rows search, bound their targets and explore is
    published nowhere; here, two critics learn alike, the search for a target's action is under the
    first of their slow copies, and the lower value of both counts.
    :class:`~core_repr.agent.sequence_algorithm.SequenceAlgorithm` lists the arguments.

    Example:
        >>> from core_repr.config import compact, make_variant
        >>> config = make_variant(compact(), "qt-opt-rad")
        >>> QTOpt("CoRePolicy", env, config).learn(20_000)  # doctest: +SKIP
    """

    settings = QTOptConfig

    @property
    def _settings(self) -> QTOptConfig:
        assert isinstance(self.config.agent, QTOptConfig)
        return self.config.agent

    def _make_optimizers(self) -> dict[str, Optimizer]:
        shared, _, _, critic = self._take_networks()
        return {"critic": adam({**shared, **critic}, self._settings.critic_learning_rate)}

    def _update(self, batch: SequenceBatch) -> None:
        """Makes one update: of J_Q, then of the slow copies."""
        networks, generator = self.actor_critic, self.policy.generator
        search, views = networks.actor, range(self._settings.views)
        assert isinstance(search, CrossEntropySearch)
        now, later = batch.proprioception[-2:]
        with self._autocast():
            with torch.no_grad():
                values = []
                for _ in views:
                    encoded = self._encode_slowly(self._stacked(batch.frames[1:]), later)
                    action = search.search(networks.critic_target, encoded, generator)
                    values.append(torch.min(*networks.critic_target(encoded, action)))
                value = torch.stack(values).mean(0).masked_fill(batch.terminated[-2], 0)
                target = batch.rewards[-2] + self.gamma * value
            errors = []
            for _ in views:
                encoded = self.world_model.encode(self._stacked(batch.frames[:-1]), now)
                for value in networks.critic(encoded, batch.actions[-2]):
                    errors.append((value - target).square().mean())
        loss = torch.stack(errors).sum()
        self.optimizers.critic.zero_grad()
        loss.backward()
        self.optimizers.critic.step()
        self.note({"critic_loss": loss.detach()})
        if self.updates % self._settings.target_interval == 0:
            self._follow()
