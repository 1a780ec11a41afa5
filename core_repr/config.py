"""Every setting of a model and of its training, as validated, JSON-serialisable dataclasses.

The defaults are the preset ``paper`` (Tables 4 and 5 of the paper, with the settings that its
authors published later); :data:`PRESETS` holds the presets by name.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs, PydanticSerializationError

from core_repr.files.values import decode, encode

FORMAT_VERSION = 8
"""Version of the layout of ``config.json``; :func:`_upgrade` reads the older ones."""

_strict = ConfigDict(extra="forbid", allow_inf_nan=False)

Size = Annotated[int, Field(ge=1, le=16_384)]
Padding = Annotated[int, Field(ge=0, le=64)]
Layers = Annotated[tuple[Size, ...], Field(max_length=16)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Arguments = Annotated[dict[str, Any], PlainSerializer(encode, when_used="json")]


class Crop(int):
    """The side of a crop in pixels, which knows what share of the frame's side it is.

    A copy of a config with another ``frame_size`` (``dataclasses.replace``, an option of the
    command line beside a preset's or a recipe's settings) is made from the old ``crop_size``; this
    is how it is told from one that was set.

    Attributes:
        share: Of the frame's side.
    """

    share: Fraction

    def __hash__(self) -> int:
        # tyro caches what it finds of a default by hash: a crop must not stand for a plain number.
        return hash((int(self), self.share))

    @classmethod
    def of_frame(cls, share: Fraction, frame_size: int) -> "Crop":
        """Returns the crop that is the given share of a frame, rounded to whole pixels."""
        crop = cls(max(1, round(share * frame_size)))
        crop.share = share
        return crop


def _follow_frame(crop: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> int:
    frame_size = info.data.get("frame_size")
    if frame_size is None:  # It does not fit itself, and is named.
        return int(validate(crop))
    if isinstance(crop, Crop):
        return Crop.of_frame(crop.share, frame_size)
    return Crop.of_frame(Fraction(validate(crop), frame_size), frame_size)


@dataclass(frozen=True, config=_strict)
class EnvironmentConfig:
    """The environment that a model was trained in.

    Attributes:
        id: Gymnasium id.
        arguments: Keyword arguments of ``gym.make``; they hold the frame's side in pixels too.
        action_low: Lower bound of each action dimension, in the environment's own units.
        action_high: Upper bound of each action dimension; where it is the same, the dimension is
            constant, and the model does without it.
        action_repeat: Simulator steps for each agent step.
        pixels_key: Name of the frames in a ``Dict`` of observations; ``None`` if the frames are
            all there is.
        proprioception: The robot's own state beside the frames: name in the ``Dict`` of
            observations → number of values. The order is that of the model's input.
    """

    id: str
    arguments: Arguments
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    action_repeat: Size = 1
    pixels_key: str | None = None
    proprioception: dict[str, Size] = Field(default_factory=dict)

    @property
    def proprioception_size(self) -> int:
        """Number of proprioceptive values; 0 if there are none."""
        return sum(self.proprioception.values())

    @property
    def action_size(self) -> int:
        """Number of action dimensions that vary: those that the model knows."""
        return sum(low < high for low, high in zip(self.action_low, self.action_high, strict=True))

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


@dataclass(frozen=True, config=_strict)
class EncoderConfig:
    """The observation encoder f: convolutions, a linear layer and LayerNorm without affine.

    Attributes:
        filters: Output channels of each convolution.
        kernel_size: Side of every kernel in pixels.
        strides: Stride of each convolution.
        paddings: Pixels of zeros around the input of each convolution; ``()`` for none.
        output_size: Size of the encoding x.
        pixel_scaling: What the first convolution sees: ``"unit"`` maps pixels to [0, 1], as
            published; ``"centered"`` to [−0.5, 0.5]; ``"standardized"`` brings each frame to mean
            0 and variance 1, all colours together.
        delta_orthogonal: Start the kernels delta-orthogonal (only the centre tap is not zero)
            instead of orthogonal.
    """

    filters: Layers = (32, 32, 32, 32)
    kernel_size: Size = 3
    strides: Layers = (2, 1, 1, 1)
    paddings: Annotated[tuple[Padding, ...], Field(max_length=16)] = ()
    output_size: Size = 50
    pixel_scaling: Literal["unit", "centered", "standardized"] = "unit"
    delta_orthogonal: bool = True

    @model_validator(mode="after")
    def _strides_fit(self) -> "EncoderConfig":
        if not self.filters or len(self.filters) != len(self.strides):
            raise ValueError(
                "filters and strides must have the same length, at least 1, "
                f"not {len(self.filters)} and {len(self.strides)}"
            )
        if self.paddings and len(self.paddings) != len(self.filters):
            raise ValueError(
                "paddings must be empty or have the length of filters, "
                f"{len(self.filters)}, not {len(self.paddings)}"
            )
        return self

    def sides(self, side: int) -> tuple[int, ...]:
        """Returns the side of each convolution's output for frames of ``side`` pixels.

        A side below 1 means that the convolution has nothing to work on.
        """
        sides = []
        for stride, padding in zip(
            self.strides, self.paddings or (0,) * len(self.strides), strict=True
        ):
            side = (side + 2 * padding - self.kernel_size) // stride + 1
            sides.append(side)
        return tuple(sides)


@dataclass(frozen=True, config=_strict)
class WorldModelConfig:
    """Sizes of the encoder, the recurrent state-space model and its heads (Table 4).

    Attributes:
        frame_size: Side in pixels of the square frames that the environment gives.
        crop_size: Side in pixels of the square that the encoder sees: cut at random while
            learning, from the centre while acting, so that what lies outside of the central one
            is never seen while acting. Where only ``frame_size`` is changed, it keeps its share
            of the frame's side.
        encoder: The observation encoder f.
        proprioception_layers: The MLP whose output joins x in ObsMLP's input, where the
            environment gives proprioception.
        deterministic_size: Size of h.
        stochastic_size: Size of s.
        observation_layers: ObsMLP, whose output has LayerNorm.
        observation_output: How ObsMLP ends: ``"linear"``, as published, has no activation after
            the last layer and a LayerNorm without affine; ``"elu"`` has both.
        contrast_proprioception: Whether L_c compares, and g predicts, the encodings of frame and
            proprioception joined, as published, or those of the frame alone.
        recurrent_layers: GRU_MLP.
        prior_layers: Hidden layers of PriorMLP.
        posterior_layers: Hidden layers of PosteriorMLP.
        normalize_statistics: LayerNorm over the joined mean and log standard deviation, as
            published. It makes the first samples wide (standard deviation about 1).
        log_std_offset: Added to the log standard deviations of prior and posterior.
        initial_std: ``None``, as published: h is 0 at the first frame of an episode or sequence. A
            number: the recurrence takes a step before it, from h = 0, a zero action and s with
            this standard deviation; 0 is Algorithm 1 of the paper.
        decoder_layers: Hidden layers of the observation-representation decoder g.
        reward_layers: Hidden layers of the reward head.
        inverse_dynamics_layers: Hidden layers of the inverse dynamics head.
    """

    frame_size: Size = 100
    crop_size: Annotated[Size, WrapValidator(_follow_frame), Field(validate_default=True)] = (
        Crop.of_frame(Fraction(84, 100), 100)
    )
    encoder: EncoderConfig = EncoderConfig()
    proprioception_layers: Layers = (200, 200, 200)
    deterministic_size: Size = 200
    stochastic_size: Size = 64
    observation_layers: Layers = (256, 256)
    observation_output: Literal["linear", "elu"] = "linear"
    contrast_proprioception: bool = True
    recurrent_layers: Layers = (400, 400)
    prior_layers: Layers = (400, 400, 400)
    posterior_layers: Layers = (400, 400)
    normalize_statistics: bool = True
    log_std_offset: Annotated[float, Field(ge=-10, le=10)] = 0.0
    initial_std: NonNegative | None = None
    decoder_layers: Layers = (256, 256)
    reward_layers: Layers = (128, 128)
    inverse_dynamics_layers: Layers = (128, 128)

    @model_validator(mode="after")
    def _sizes_fit(self) -> "WorldModelConfig":
        if self.crop_size > self.frame_size:
            raise ValueError(
                f"crop_size must be at most frame_size ({self.frame_size}), not {self.crop_size}"
            )
        if min(self.encoder.sides(self.crop_size)) < 1:
            raise ValueError(
                f"crop_size {self.crop_size} is too small for the encoder's "
                f"{len(self.encoder.strides)} convolutions"
            )
        for name in (
            "proprioception_layers",
            "observation_layers",
            "recurrent_layers",
            "prior_layers",
            "posterior_layers",
        ):
            if not getattr(self, name):
                raise ValueError(f"{name} must name at least one layer")
        return self


@dataclass(frozen=True, config=_strict)
class LossConfig:
    """Weights of the terms of J_M.

    Attributes:
        contrastive_weight: Weight of L_c, equation (1).
        kl_weight: β, the weight of L_KL, equation (2).
        reward_weight: α_r.
        inverse_dynamics_weight: α_a.
        free_nats: L_KL is clipped from below at this many nats.
        inverse_temperature: ℓ at the start; λ = softplus(ℓ).
    """

    contrastive_weight: NonNegative = 1.0
    kl_weight: NonNegative = 0.01
    reward_weight: NonNegative = 1.0
    inverse_dynamics_weight: NonNegative = 1.0
    free_nats: NonNegative = 1.0
    inverse_temperature: float = 1.0


@dataclass(frozen=True, config=_strict)
class AgentConfig:
    """The SAC agent and the schedule of collecting and learning (Table 5).

    Attributes:
        actor_layers: Hidden layers of the actor.
        critic_layers: Hidden layers of each of the two critics.
        replay_size: Agent steps that the replay buffer holds.
        learning_starts: Agent steps of uniform random actions before learning.
        initial_updates: Updates of the world model alone when learning starts, before the agent
            learns from its latents and acts.
        updates_per_step: Updates for each agent step collected afterwards.
        agent_updates: Updates of critics, actor and entropy weight for each one of the world
            model, on the latents of the same mini-batch.
        batch_size: Sequences in a mini-batch.
        sequence_length: Frames in a sequence.
        discount: γ.
        target_rate: τ of the target critics' moving average.
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
        actor_learning_rate: Adam on the actor.
        entropy_learning_rate: Adam on the logarithm of the entropy weight, with β₁ = 0.5.
        initial_log_entropy_weight: Logarithm of the entropy weight at the start.
        max_log_entropy_weight: The entropy weight is at most exp of this.
        model_max_gradient_norm: Clipping norm of the gradient of Θ and ℓ under J_M, and under both
            in the joint update.
        critic_max_gradient_norm: Clipping norm of the critics' gradient.
        actor_max_gradient_norm: Clipping norm of the actor's gradient.
        mean_recurrence: With ``deterministic=True``, whether the mean of the latent state
            continues through the recurrence, or, as published, its sample does, while the action
            is the actor's mode on [h, mean] in both cases.
        averaging_rate: Weight of the newest weights in the moving average of world model and
            actor that evaluations and saved models of a training have; 1 for the newest alone.
        texture_opacity: Greatest opacity of the random textures that are laid over the learner's
            frames; 0 for none.
        color_jitter: Greatest relative change of the learner's colours, together with textures.
        camera_jitter: How far half of the learner's frames are turned, zoomed and shifted, each
            frame independently; 0 for none. At 0.1, 0.2 and 0.3 they are turned as far as the
            camera of the Distracting Control Suite rolls at easy, medium and hard.
        precision: ``"bfloat16"`` runs the networks under autocast; ``"auto"`` does so where the
            hardware multiplies bfloat16 faster than float32. Statistics of the latents, losses
            and optimisers are float32 always.
    """

    actor_layers: Layers = (1024, 1024, 1024)
    critic_layers: Layers = (1024, 1024, 1024)
    replay_size: Annotated[int, Field(ge=1)] = 100_000
    learning_starts: Annotated[int, Field(ge=0)] = 1_000
    initial_updates: Annotated[int, Field(ge=0)] = 0
    updates_per_step: Positive = 0.5
    agent_updates: Size = 1
    batch_size: Size = 32
    sequence_length: Annotated[int, Field(ge=2, le=1_000)] = 32
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99
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
    mean_recurrence: bool = False
    averaging_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    texture_opacity: Annotated[float, Field(ge=0, le=1)] = 0.0
    color_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    camera_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _update_fits(self) -> "AgentConfig":
        if not self.joint_update and self.critic_weight not in (0, 1):
            raise ValueError(
                "critic_weight must be 0 or 1 in the sequential update (joint_update=False), "
                f"not {self.critic_weight:g}"
            )
        return self


@dataclass(frozen=True, config=_strict)
class CoReConfig:
    """A model, its losses, its agent and the environment that they are trained in.

    Attributes:
        world_model: Sizes of the world model.
        loss: Weights of J_M.
        agent: The SAC agent and its training.
        environment: Recorded when the training starts; ``None`` before.
        format_version: Version of this layout.
    """

    world_model: WorldModelConfig = WorldModelConfig()
    loss: LossConfig = LossConfig()
    agent: AgentConfig = AgentConfig()
    environment: EnvironmentConfig | None = None
    format_version: int = FORMAT_VERSION

    @model_validator(mode="after")
    def _version_fits(self) -> "CoReConfig":
        _check_version(self.format_version)
        return self

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
            raise ValueError(f"The config's field 'environment.arguments': {error}.") from None

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
            _upgrade(fields)
            _check_version(fields["format_version"])
        _require_fields(fields, cls)
        if isinstance(fields["environment"], dict):
            fields["environment"]["arguments"] = decode(fields["environment"]["arguments"])
        try:
            return _adapter.validate_python(fields)
        except ValidationError as error:
            raise ValueError(_sentence(error)) from None


_adapter: TypeAdapter[CoReConfig] = TypeAdapter(CoReConfig)


def _check_version(version: Any) -> None:
    if version != FORMAT_VERSION:
        raise ValueError(
            f"The config's field 'format_version' is {version!r}, but this release reads "
            f"{FORMAT_VERSION}; install a core-repr release that fits the model."
        )


def _part_at(fields: dict[str, Any], path: str) -> dict[str, Any]:
    """Returns the part at a path; an empty one where a broken config has none."""
    part: Any = fields
    for name in path.split("."):
        part = part.get(name) if isinstance(part, dict) else None
    return part if isinstance(part, dict) else {}


def _adding(**additions: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Makes an upgrade that adds fields to parts."""

    def upgrade(fields: dict[str, Any]) -> None:
        for path, added in additions.items():
            part = _part_at(fields, path)
            part.update({**added, **part})

    return upgrade


def _upgrade_encoder_standardization(fields: dict[str, Any]) -> None:
    """Encoders up to version 3 take the frames as they are."""
    _part_at(fields, "world_model.encoder").setdefault("standardize", False)


def _upgrade_to_published_forms(fields: dict[str, Any]) -> None:
    """Up to version 7 there is one form of each of these, which is not the published one."""
    encoder, agent = _part_at(fields, "world_model.encoder"), _part_at(fields, "agent")
    standardized = encoder.pop("standardize", False)
    scaling = {True: "standardized", False: "centered"}
    encoder.setdefault("paddings", [])
    encoder.setdefault("pixel_scaling", scaling.get(standardized, standardized))
    _adding(
        world_model={"observation_output": "elu", "contrast_proprioception": False},
        agent={
            "critic_to_model_learning_rate": agent.get("critic_learning_rate"),
            "mean_recurrence": True,
        },
    )(fields)
    if agent.get("joint_update") is False:
        # The sequential update took the whole gradient, whatever the weight was.
        agent["critic_weight"] = 1.0


_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {
    # Models of version 1 do without proprioception.
    1: _adding(
        world_model={"proprioception_layers": [200, 200, 200]},
        environment={"pixels_key": None, "proprioception": {}},
    ),
    # Nothing limited the critics' gradient up to version 2.
    2: _adding(agent={"latent_max_gradient_norm": 1e9}),
    3: _upgrade_encoder_standardization,
    # Up to version 4, world model and agent start to learn together, and nothing is averaged.
    4: _adding(agent={"initial_updates": 0, "averaging_rate": 1.0}),
    # Up to version 5, the agent learns once from the latents of a mini-batch.
    5: _adding(agent={"agent_updates": 1}),
    # Up to version 6, frames stay as the camera gave them.
    6: _adding(agent={"camera_jitter": 0.0}),
    7: _upgrade_to_published_forms,
}
"""Version → what makes the next version of it, in place."""


def _upgrade(fields: dict[str, Any]) -> None:
    while type(version := fields["format_version"]) is int and version in _UPGRADES:
        _UPGRADES[version](fields)
        fields["format_version"] = version + 1


def _require_fields(fields: Any, part: Any, path: str = "") -> None:
    """A saved config is complete: a default of a later release must not slip into it."""
    if not isinstance(fields, dict):
        raise ValueError(f"The config's {path or 'content'} must be a JSON object.")
    for field in dataclasses.fields(part):
        name = f"{path}.{field.name}" if path else field.name
        if field.name not in fields:
            raise ValueError(f"The config lacks the field {name!r}.")
        for part_type in (field.type, *get_args(field.type)):
            is_part = isinstance(part_type, type) and dataclasses.is_dataclass(part_type)
            if is_part and fields[field.name] is not None:
                _require_fields(fields[field.name], part_type, name)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    where = f"The config's field {name!r}" if name else "The config"
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where} is not known to this release; remove it or install a newer core-repr."
    whole = isinstance(first["input"], dict | ArgsKwargs)
    value = "" if whole else f", not {first['input']!r}"
    return f"{where} does not fit: {message[0].lower()}{message[1:]}{value}."


def _refuse_in_a_sentence(part: type) -> None:
    """Lets the constructor's errors read like those of :meth:`CoReConfig.from_json`."""
    plain = part.__init__  # type: ignore[misc]

    @functools.wraps(plain)
    def init(self: Any, *values: Any, **fields: Any) -> None:
        try:
            plain(self, *values, **fields)
        except ValidationError as error:
            raise ValueError(_sentence(error)) from None

    part.__init__ = init  # type: ignore[misc]


for _part in (
    EncoderConfig,
    EnvironmentConfig,
    WorldModelConfig,
    LossConfig,
    AgentConfig,
    CoReConfig,
):
    _refuse_in_a_sentence(_part)


def paper() -> CoReConfig:
    """The paper's sizes and settings, for a GPU or for patience."""
    return CoReConfig()


def compact() -> CoReConfig:
    """Sizes and settings that learn on a laptop's CPU in an hour or two."""
    return CoReConfig(
        world_model=WorldModelConfig(
            frame_size=72,
            crop_size=64,
            encoder=EncoderConfig(
                filters=(32, 32, 32, 32),
                strides=(2, 2, 1, 1),
                pixel_scaling="standardized",
                delta_orthogonal=False,
            ),
            observation_layers=(128,),
            observation_output="elu",
            contrast_proprioception=False,
            recurrent_layers=(256,),
            prior_layers=(256, 256),
            posterior_layers=(256,),
            decoder_layers=(256,),
            normalize_statistics=False,
            log_std_offset=-2.0,
            initial_std=0.0,
        ),
        loss=LossConfig(contrastive_weight=0.3, reward_weight=3.0),
        agent=AgentConfig(
            actor_layers=(256, 256),
            critic_layers=(256, 256),
            learning_starts=2_000,
            initial_updates=1_000,
            agent_updates=3,
            batch_size=8,
            model_learning_rate=1e-3,
            encoder_learning_rate=2e-3,
            entropy_learning_rate=3e-4,
            target_rate=0.02,
            joint_update=True,
            critic_weight=0.0,
            mean_recurrence=True,
            averaging_rate=0.005,
            texture_opacity=1.0,
            color_jitter=0.3,
        ),
    )


PRESETS = {"compact": compact, "paper": paper}
"""Preset name → function that returns its :class:`CoReConfig`."""
