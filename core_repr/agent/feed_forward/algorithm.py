"""FeedForwardAlgorithm: what agents on stacked frames have in common."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.optim import Adam

from core_repr.agent.feed_forward.networks import FeedForwardNetworks
from core_repr.agent.sequence_algorithm import Parameters, SequenceAlgorithm
from core_repr.config import FeedForwardSACConfig, QTOptConfig
from core_repr.world_model import SequenceBatch
from core_repr.world_model.encoders import SharedEncoder


class FeedForwardAlgorithm(SequenceAlgorithm):
    """Learns from single steps between observations of stacked frames.

    Mini-batches are ``(frame_stack + 1, B, ...)``: the last action lies between the last two
    frames.
    """

    encoder: SharedEncoder
    actor_critic: FeedForwardNetworks

    @property
    def _settings(self) -> FeedForwardSACConfig | QTOptConfig:
        assert isinstance(self.config.agent, FeedForwardSACConfig | QTOptConfig)
        return self.config.agent

    def _take_networks(self) -> tuple[dict[str, nn.Parameter], ...]:
        """Names what learns: what encodes for the critics, the actor's share, heads, critics."""
        networks, encoder = self.policy.actor_critic, self.world_model.encoder
        assert isinstance(networks, FeedForwardNetworks) and isinstance(encoder, SharedEncoder)
        self.actor_critic, self.encoder = networks, encoder
        self._target_parameters: Parameters = [*networks.critic_target.parameters()]
        self._critic_parameters: Parameters = [*networks.critic.parameters()]
        groups = self.world_model.parameter_groups().values()
        learning = {name: each for group in groups for name, each in group.items()}
        of_actor = {f"encoder.{name}": each for name, each in encoder.actor_parameters.items()}
        heads = {name: p for name, p in learning.items() if name.startswith("objectives.")}
        shared = {n: p for n, p in learning.items() if n not in heads and n not in of_actor}
        return shared, of_actor, heads, dict(networks.critic.named_parameters(prefix="critic"))

    def _sample(self) -> SequenceBatch:
        """Returns steps, with the frames that are stacked before them."""
        depth = self.encoder.frame_stack
        return self.replay_buffer.sample(self._settings.batch_size, depth + 1, lead=depth - 1)

    def _stacked(
        self,
        frames: UInt8[Tensor, "depth b height height 3"],
        generator: torch.Generator | None = None,
    ) -> UInt8[Tensor, "b side side channels"]:
        """Returns an observation of successive frames, changed at random all alike."""
        return torch.cat([*self.augment(frames, generator or self.policy.generator)], -1)

    def _encode_slowly(self, frames: Tensor, proprioception: Tensor) -> Float[Tensor, "b x"]:
        """Returns what the slow copy of the encoder makes of an observation."""
        slow = self.actor_critic.encoder_target
        encoded: Tensor = slow["frames"](frames)
        if "proprioception" in slow:
            encoded = torch.cat([encoded, slow["proprioception"](proprioception)], -1)
        return encoded

    @torch.no_grad()
    def _follow(self) -> None:
        """A step of the slow copies."""
        settings, model = self._settings, self.world_model
        torch._foreach_lerp_(self._target_parameters, self._critic_parameters, settings.target_rate)
        fast: Parameters = [*model.encoder.parameters()]
        if model.proprioception_encoder is not None:
            fast += [*model.proprioception_encoder.parameters()]
        slow: Parameters = [*self.actor_critic.encoder_target.parameters()]
        torch._foreach_lerp_(slow, fast, settings.encoder_target_rate)
        model.objectives.after_step(model.encoder)


def adam(named: dict[str, nn.Parameter], learning_rate: float) -> Adam:
    """Makes Adam of named parameters."""
    return Adam([{"params": [*named.items()], "lr": learning_rate}], fused=True)
