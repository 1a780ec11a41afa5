"""A whole config, and the environment that it records."""

import dataclasses
import json
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticSerializationError

from core_repr.config import formats
from core_repr.config.fields import STRICT, Arguments, Size, refuses_in_a_sentence, sentence
from core_repr.config.learning import AgentConfig, FeedForwardSACConfig, QTOptConfig, SACConfig
from core_repr.config.parts import (
    AugmentationConfig,
    BisimulationConfig,
    ContrastiveConfig,
    IdentityDynamicsConfig,
    ObjectivesConfig,
    SharedEncoderConfig,
    WorldModelConfig,
)
from core_repr.files.values import decode

DATASET = "dataset/"
"""How the id of an environment begins that is known from recorded episodes alone."""


@refuses_in_a_sentence("environment.wrappers")
@dataclass(frozen=True, config=STRICT)
class WrapperConfig:
    """A wrapper around an environment.

    Attributes:
        name: Of its class, behind a module that offers it, such as
            ``"core_repr.DistractionWrapper"``.
        arguments: Keyword arguments, without the environment.
    """

    name: str
    arguments: Arguments = Field(default_factory=dict)


@refuses_in_a_sentence("environment")
@dataclass(frozen=True, config=STRICT)
class EnvironmentConfig:
    """The environment that a model was trained in.

    Attributes:
        id: Gymnasium id; ``"dataset/"`` and a name where there were only recorded episodes.
        arguments: Keyword arguments of ``gym.make``; they hold the frame's side in pixels too.
        action_low: Lower bound of each action dimension, in the environment's own units.
        action_high: Upper bound of each action dimension; where it is the same, the dimension is
            constant, and the model does without it.
        action_repeat: Simulator steps for each agent step.
        pixels_key: Name of the frames in a ``Dict`` of observations; ``None`` if the frames are
            all there is.
        proprioception: The robot's own state beside the frames: name in the ``Dict`` of
            observations → number of values. The order is that of the model's input.
        wrappers: What is around the environment that ``gym.make`` makes, the innermost first.
    """

    id: str
    arguments: Arguments
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    action_repeat: Size = 1
    pixels_key: str | None = None
    proprioception: dict[str, Size] = Field(default_factory=dict)
    wrappers: tuple[WrapperConfig, ...] = ()

    @property
    def proprioception_size(self) -> int:
        """Number of proprioceptive values; 0 if there are none."""
        return sum(self.proprioception.values())

    @property
    def action_size(self) -> int:
        """Number of action dimensions that vary: those that the model knows."""
        return sum(low < high for low, high in zip(self.action_low, self.action_high, strict=True))

    @property
    def is_dataset(self) -> bool:
        """Whether there were only recorded episodes: the bounds are then those of their actions."""
        return self.id.startswith(DATASET)

    @model_validator(mode="after")
    def _bounds_fit(self) -> "EnvironmentConfig":
        if not self.action_low or len(self.action_low) != len(self.action_high):
            raise ValueError(
                "action_low and action_high must have the same length, at least 1, "
                f"not {len(self.action_low)} and {len(self.action_high)}"
            )
        if any(low > high for low, high in zip(self.action_low, self.action_high, strict=True)):
            raise ValueError("no action_low may be above its action_high")
        if self.action_low == self.action_high:
            raise ValueError("action_low and action_high are the same: no action can vary")
        if self.pixels_key is None and self.proprioception:
            raise ValueError(
                "proprioception needs a pixels_key: it comes in a Dict with the frames"
            )
        if self.pixels_key in self.proprioception:
            raise ValueError(f"{self.pixels_key!r} cannot be both pixels and proprioception")
        return self


@refuses_in_a_sentence("")
@dataclass(frozen=True, config=STRICT)
class CoReConfig:
    """A model, what teaches it, its agent and the environment that they are trained in.

    Attributes:
        world_model: What the world model sees and how its latent state follows from it.
        objectives: The terms of J_M.
        augmentation: How the frames that the learner sees are changed.
        agent: The agent and its training.
        environment: Recorded when the training starts; ``None`` before.
        format_version: Version of this layout.
    """

    world_model: WorldModelConfig = WorldModelConfig()
    objectives: ObjectivesConfig = ObjectivesConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    agent: AgentConfig = SACConfig()
    environment: EnvironmentConfig | None = None
    format_version: int = formats.FORMAT_VERSION

    @model_validator(mode="after")
    def _parts_fit(self) -> "CoReConfig":
        formats.check_version(self.format_version)
        objectives, agent = self.objectives, self.agent
        self._kinds_fit()
        if not isinstance(agent, SACConfig):
            return self
        teachers = (objectives.frames, objectives.reward, objectives.inverse_dynamics)
        if not any(teachers) and agent.critic_weight == 0:
            raise ValueError(
                "the encoder learns from nothing: raise agent.critic_weight, or choose one of "
                "the objectives frames, reward and inverse_dynamics"
            )
        if agent.imagination is not None and not (objectives.use_prior and objectives.reward):
            raise ValueError(
                "agent.imagination needs the objective reward, and a prior that kl or frames "
                "teach: choose them, or set agent.imagination to null"
            )
        frames = objectives.frames
        if isinstance(frames, ContrastiveConfig) and frames.negatives == "same-sequence":
            scored = agent.sequence_length - (frames.decoded == "prior")
            if scored < 2:
                raise ValueError(
                    "objectives.frames.negatives 'same-sequence' needs a second frame that is "
                    "scored: agent.sequence_length must be at least "
                    f"{agent.sequence_length + 1}, not {agent.sequence_length}"
                )
        return self

    def _kinds_fit(self) -> None:
        """Refuses kinds of parts that do not belong together."""
        encoder = self.world_model.encoder
        shared = isinstance(encoder, SharedEncoderConfig)
        identity = isinstance(self.world_model.dynamics, IdentityDynamicsConfig)
        if not shared == identity == (not isinstance(self.agent, SACConfig)):
            raise ValueError(
                "the agents 'feed-forward-sac' and 'qt-opt', the encoder 'shared' and the dynamics "
                f"'identity' belong together, but these are {self.agent.kind!r}, {encoder.kind!r} "
                f"and {self.world_model.dynamics.kind!r}; choose a variant, such as 'sac-rad'"
            )
        if isinstance(encoder, SharedEncoderConfig):
            has_actor = isinstance(self.agent, FeedForwardSACConfig)
            if encoder.actor != has_actor:
                raise ValueError(
                    f"world_model.encoder.actor must be {str(has_actor).lower()} for the agent "
                    f"{self.agent.kind!r}, which has {'an' if has_actor else 'no'} actor"
                )
        if isinstance(self.agent, QTOptConfig) and any(vars(self.objectives).values()):
            raise ValueError("the agent 'qt-opt' learns no objectives: set each of them to null")
        if identity and self.objectives.use_prior:
            raise ValueError(
                "nothing predicts the next latent state with the dynamics 'identity': set "
                "objectives.kl to null, and choose objectives.frames that need no prior"
            )
        if not identity and isinstance(self.objectives.frames, BisimulationConfig):
            raise ValueError(
                "objectives.frames 'bisimulation' compares single steps, with the dynamics "
                f"'identity', not {self.world_model.dynamics.kind!r}; choose the variant 'dbc'"
            )

    @property
    def latent_size(self) -> int:
        """Size of the latent state that agents see, in the environment that is recorded."""
        dynamics, sizes = self.world_model.dynamics, self.world_model
        if not isinstance(dynamics, IdentityDynamicsConfig):
            return dynamics.deterministic_size + dynamics.stochastic_size
        own = self.environment is not None and self.environment.proprioception
        return sizes.encoder.width + (sizes.proprioception_layers[-1] if own else 0)

    def replace(self, **changes: Any) -> "CoReConfig":
        """Returns a copy with some parts replaced."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """Returns the config as indented JSON.

        Raises:
            ValueError: If an argument of the environment is not one that JSON knows.
        """
        try:
            return _adapter.dump_json(self, indent=2).decode() + "\n"
        except PydanticSerializationError as error:
            raise ValueError(f"The arguments in the config's environment: {error}.") from None

    @classmethod
    def from_json(cls, text: str | bytes) -> "CoReConfig":
        """Reads :meth:`to_json`'s form; every field must be known, present and possible.

        Forms of earlier releases are read as well.

        Raises:
            ValueError: If it is not JSON or a field does not fit. The message is one sentence
                that names the field.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"The config is not valid JSON: {error}.") from None
        if isinstance(fields, dict) and "format_version" in fields:
            formats.upgrade(fields)
            formats.check_version(fields["format_version"])
        formats.require_fields(fields, cls)
        if isinstance(fields["environment"], dict):
            for layer in (fields["environment"], *fields["environment"]["wrappers"]):
                layer["arguments"] = decode(layer["arguments"])
        try:
            return _adapter.validate_python(fields)
        except ValidationError as error:
            raise ValueError(sentence(error)) from None


_adapter: TypeAdapter[CoReConfig] = TypeAdapter(CoReConfig)
