"""Settings of the algorithms."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from core_repr.config.fields import (
    STRICT,
    Kind,
    Layers,
    NonNegative,
    Positive,
    Size,
    refuses_in_a_sentence,
)


@dataclass(frozen=True, config=STRICT)
class LearningConfig:
    """How sequences are collected and learned from, by whatever algorithm.

    Attributes:
        replay_size: Agent steps that the replay buffer holds.
        learning_starts: Agent steps of uniform random actions before learning.
        initial_updates: Updates when learning starts, before the agent acts; those of
            ``"core-sac"`` are of the world model alone, before the agent learns from its latents.
        updates_per_step: Updates for each agent step collected afterwards.
        batch_size: Sequences in a mini-batch.
        sequence_length: Frames in a sequence.
        discount: γ.
        averaging_rate: Weight of the newest weights in the moving average of world model and
            actor that evaluations and saved models of a training have; 1 for the newest alone.
        mean_recurrence: With ``deterministic=True``, whether the mean of the latent state
            continues through the recurrence, or, as published, its sample does, while the action
            is the actor's mode on [h, mean] in both cases.
        precision: ``"bfloat16"`` runs the networks under autocast; ``"auto"`` does so where the
            hardware multiplies bfloat16 faster than float32. Statistics of the latents, losses
            and optimisers are float32 always.
    """

    replay_size: Annotated[int, Field(ge=1)] = 100_000
    learning_starts: Annotated[int, Field(ge=0)] = 1_000
    initial_updates: Annotated[int, Field(ge=0)] = 0
    updates_per_step: Positive = 0.5
    batch_size: Size = 32
    sequence_length: Annotated[int, Field(ge=2, le=1_000)] = 32
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99
    averaging_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    mean_recurrence: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _learning_starts_in_time(self) -> "LearningConfig":
        if self.replay_size <= self.learning_starts:
            raise ValueError(
                "learning starts when the replay buffer holds more than learning_starts "
                f"({self.learning_starts}) steps, so replay_size must be greater, not "
                f"{self.replay_size}"
            )
        return self


@refuses_in_a_sentence("agent.imagination")
@dataclass(frozen=True, config=STRICT)
class ImaginationConfig:
    """How actor and value learn from roll-outs of the world model, in place of the critics.

    The actor's network then has LayerNorm and SiLU in place of ReLU.

    A value lies within ±2,980: where returns, discounted, are greater, scale the rewards.

    Attributes:
        kind: ``"imagination"``.
        horizon: Agent steps that are imagined.
        starts: States of a mini-batch that a roll-out starts at.
        trace_decay: λ of the returns.
        value_layers: Hidden layers of the value.
        value_learning_rate: Adam on the value.
        actor_learning_rate: Adam on the actor.
        replay_weight: Weight of the value's loss on the λ-returns of the replayed rewards, which
            keeps it from running away from what there is.
        initial_log_entropy_weight: Logarithm of the entropy weight at the start, in units of the
            returns' spread for a nat.
        std_range: Least and greatest standard deviation of an action before it is squashed.
    """

    horizon: Annotated[int, Field(ge=1, le=100)] = 5
    starts: Size = 128
    trace_decay: Annotated[float, Field(ge=0, le=1)] = 0.95
    value_layers: Layers = (256, 256)
    value_learning_rate: Positive = 1e-3
    actor_learning_rate: Positive = 3e-4
    replay_weight: NonNegative = 0.3
    initial_log_entropy_weight: float = -8.0
    std_range: tuple[Positive, Positive] = (0.1, 1.0)
    kind: Kind[Literal["imagination"]] = "imagination"

    @model_validator(mode="after")
    def _range_fits(self) -> "ImaginationConfig":
        if self.std_range[0] >= self.std_range[1]:
            raise ValueError(f"std_range must rise, not be {self.std_range}")
        return self


@refuses_in_a_sentence("agent.similarity")
@dataclass(frozen=True, config=STRICT)
class PolicySimilarityConfig:
    """PSE's contrastive loss: states are alike where a good policy acts alike from them on.

    Attributes:
        kind: ``"policy-similarity"``.
        pairs: Folder of pairs of episodes, as ``core-repr pairs`` records them.
        embedding_size: Of the layer, behind the actor's hidden ones, whose cosines are compared.
        states: States of one episode that are compared with all of the other's.
        discount: γ of the distances between states.
        temperature: λ, of the cosines.
        coupling: β, of the distances.
        learning_rate: Adam on convolutions, the actor's hidden layers and that layer.
    """

    pairs: str = ""
    embedding_size: Size = 256
    states: Size = 128
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99
    temperature: Positive = 0.1
    coupling: Positive = 0.1
    learning_rate: Positive = 1e-3
    kind: Kind[Literal["policy-similarity"]] = "policy-similarity"


@refuses_in_a_sentence("agent")
@dataclass(frozen=True, config=STRICT)
class FeedForwardSACConfig(LearningConfig):
    """SAC on stacked frames, learned from single steps, as in the published code of RAD and CURL.

    Attributes:
        kind: ``"feed-forward-sac"``, for :class:`~core_repr.agent.FeedForwardSAC`.
        updates_per_step: Updates for each agent step collected afterwards.
        batch_size: Steps in a mini-batch.
        sequence_length: Frames of a step: the one before the action and the one after.
        actor_layers: Hidden layers of the actor.
        critic_layers: Hidden layers of each of the two critics.
        views: Random changes of an observation that targets, and J_Q, are averaged, and summed,
            over: 1 for RAD, 2 for DrQ.
        similarity: PSE's loss, whose step follows that of the actor; ``None`` for none.
        actor_interval: The actor and the entropy weight learn at every so many updates.
        target_interval: The slow copies follow at every so many updates.
        target_rate: τ of the moving average of the target critics.
        encoder_target_rate: τ of that of their encoder.
        critic_learning_rate: Adam on critics and encoder under J_Q.
        actor_learning_rate: Adam on the actor, with its linear layer and LayerNorm.
        entropy_learning_rate: Adam on the logarithm of the entropy weight, with β₁ = 0.5.
        encoder_learning_rate: Adam on the encoder under the objectives, where there are any.
        model_learning_rate: Adam on the objectives' heads.
        model_weight_decay: Of that Adam, on the heads.
        initial_log_entropy_weight: Logarithm of the entropy weight at the start.
    """

    kind: Kind[Literal["feed-forward-sac"]] = "feed-forward-sac"
    updates_per_step: Positive = 1.0
    batch_size: Size = 128
    sequence_length: Annotated[int, Field(ge=2, le=2)] = 2
    actor_layers: Layers = (1024, 1024)
    critic_layers: Layers = (1024, 1024)
    views: Size = 1
    similarity: PolicySimilarityConfig | None = None
    actor_interval: Size = 2
    target_interval: Size = 2
    target_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    encoder_target_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    critic_learning_rate: Positive = 1e-3
    actor_learning_rate: Positive = 1e-3
    entropy_learning_rate: Positive = 1e-4
    encoder_learning_rate: Positive = 1e-3
    model_learning_rate: Positive = 1e-3
    model_weight_decay: NonNegative = 0.0
    initial_log_entropy_weight: float = -2.3


@refuses_in_a_sentence("agent")
@dataclass(frozen=True, config=STRICT)
class QTOptConfig(LearningConfig):
    """Q-learning on stacked frames, whose actions a cross-entropy search finds.

    For the rows that the paper quotes, none of this but the mini-batch is published.

    Attributes:
        kind: ``"qt-opt"``, for :class:`~core_repr.agent.QTOpt`.
        updates_per_step: Updates for each agent step collected afterwards.
        batch_size: Steps in a mini-batch.
        sequence_length: Frames of a step: the one before the action and the one after.
        critic_layers: Hidden layers of each of the two critics.
        views: Random changes of an observation that targets, and losses, are averaged, and summed,
            over: 1 for RAD, 2 for DrQ.
        samples: Actions of an iteration of the search.
        elites: The best of them, which the next iteration starts from.
        iterations: Of the search.
        initial_variance: Of the actions of the first iteration.
        exploration: How often a collected action is uniformly random instead.
        target_interval: The slow copies follow at every so many updates.
        target_rate: τ of the moving average of the target critics.
        encoder_target_rate: τ of that of their encoder.
        critic_learning_rate: Adam on critics and encoder.
    """

    kind: Kind[Literal["qt-opt"]] = "qt-opt"
    updates_per_step: Positive = 1.0
    batch_size: Size = 512
    sequence_length: Annotated[int, Field(ge=2, le=2)] = 2
    critic_layers: Layers = (1024, 1024)
    views: Size = 1
    samples: Size = 64
    elites: Size = 6
    iterations: Size = 3
    initial_variance: Positive = 0.25
    exploration: Annotated[float, Field(ge=0, le=1)] = 0.1
    target_interval: Size = 2
    target_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    encoder_target_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    critic_learning_rate: Positive = 1e-3

    @model_validator(mode="after")
    def _search_fits(self) -> "QTOptConfig":
        if self.elites > self.samples:
            raise ValueError(f"elites must be at most samples ({self.samples}), not {self.elites}")
        return self


@refuses_in_a_sentence("agent")
@dataclass(frozen=True, config=STRICT)
class SACConfig(LearningConfig):
    """The SAC agent that learns together with the world model (Table 5).

    Attributes:
        kind: ``"core-sac"``, for :class:`~core_repr.CoReSAC`.
        actor_layers: Hidden layers of the actor.
        critic_layers: Hidden layers of each of the two critics.
        imagination: How actor and value learn from what the world model imagines; ``None`` for
            critics that learn from the replayed steps, as published.
        agent_updates: Updates of critics, actor and entropy weight for each one of the world
            model, on the latents of the same mini-batch; in imagination, each from other states
            of it.
        target_rate: τ of the moving average of the target critics, or of the target value.
        joint_update: One forward pass and one optimiser of Θ for J_M + critic_weight · J_Q,
            instead of an update for J_M and, after a fresh forward pass, one for J_Q.
        critic_weight: Weight of J_Q's gradient into Θ; 0 keeps it out of Θ. In the sequential
            update it is 0 or 1: Adam would undo any other weight.
        latent_max_gradient_norm: Clipping norm of that weighted gradient where it enters Θ, at
            the latent states: J_Q grows with the square of the values, J_M does not.
        model_learning_rate: Adam on Θ under J_M, and under both in the joint update.
        encoder_learning_rate: The same for the encoder f, which is a part of Θ.
        temperature_learning_rate: Adam on ℓ.
        critic_learning_rate: Adam on the critics.
        critic_to_model_learning_rate: Adam on Θ under J_Q, in the sequential update, where Θ's
            gradient is not clipped.
        actor_learning_rate: Adam on the actor, with critics.
        entropy_learning_rate: Adam on the logarithm of the entropy weight, with β₁ = 0.5.
        initial_log_entropy_weight: Logarithm of the entropy weight at the start, with critics.
        max_log_entropy_weight: The entropy weight is at most exp of this.
        model_max_gradient_norm: Clipping norm of the gradient of Θ and ℓ under J_M, and under both
            in the joint update.
        critic_max_gradient_norm: Clipping norm of the critics' gradient, or of the value's.
        actor_max_gradient_norm: Clipping norm of the actor's gradient.
    """

    kind: Kind[Literal["core-sac"]] = "core-sac"
    actor_layers: Layers = (1024, 1024, 1024)
    critic_layers: Layers = (1024, 1024, 1024)
    imagination: ImaginationConfig | None = None
    agent_updates: Size = 1
    target_rate: Annotated[float, Field(gt=0, le=1)] = 0.005
    joint_update: bool = False
    critic_weight: NonNegative = 1.0
    latent_max_gradient_norm: Positive = 0.3
    model_learning_rate: Positive = 3e-4
    encoder_learning_rate: Positive = 3e-4
    temperature_learning_rate: Positive = 2e-3
    critic_learning_rate: Positive = 1e-3
    critic_to_model_learning_rate: Positive = 3e-4
    actor_learning_rate: Positive = 1e-3
    entropy_learning_rate: Positive = 1e-3
    initial_log_entropy_weight: float = -2.3
    max_log_entropy_weight: float = 3.0
    model_max_gradient_norm: Positive = 10.0
    critic_max_gradient_norm: Positive = 100.0
    actor_max_gradient_norm: Positive = 10.0

    @model_validator(mode="after")
    def _update_fits(self) -> "SACConfig":
        if not self.joint_update and self.critic_weight not in (0, 1):
            raise ValueError(
                "critic_weight must be 0 or 1 in the sequential update (joint_update=False), "
                f"not {self.critic_weight:g}"
            )
        if self.imagination is not None and self.imagination.horizon >= self.sequence_length:
            raise ValueError(
                "imagination.horizon must be less than sequence_length "
                f"({self.sequence_length}), the steps that the world model learns to foresee, not "
                f"{self.imagination.horizon}"
            )
        if self.imagination is not None and self.critic_weight:
            raise ValueError(
                "imagination has no critics whose gradient could reach the world model: "
                f"critic_weight must be 0, not {self.critic_weight:g}"
            )
        return self


AgentConfig = Annotated[SACConfig | FeedForwardSACConfig | QTOptConfig, Field(discriminator="kind")]
