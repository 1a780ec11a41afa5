"""The parts that a model, its losses and its learning are made of."""

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from typing_extensions import Self

from core_repr.config.fields import (
    STRICT,
    AtLeastOneLayer,
    Kind,
    Layers,
    NonNegative,
    Padding,
    Size,
    refuses_in_a_sentence,
)


class Crop(int):
    """The side of a crop in pixels, which knows what share of the frame's side it is.

    A copy of a config with another ``frame_size`` (``dataclasses.replace``, an option of the
    command line beside a preset's or a recipe's settings) is made from the old ``crop_size``; this
    is how it differs from one that was set.

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


@refuses_in_a_sentence("world_model.encoder.gate")
@dataclass(frozen=True, config=STRICT)
class GateConfig:
    """The gating network before the encoder, whose mask shows what it uses (Figure 5).

    Attributes:
        filters: Output channels of each convolution, of stride 1 and with ELU; one of 1×1 to a
            single channel follows.
        kernel_size: Side of their kernels in pixels, an odd number.
        bounded: Whether an ELU stands before the sigmoid too, as in the authors' code: the mask
            is then 0.27 at least, and cannot close.
    """

    filters: AtLeastOneLayer = (16, 16, 16)
    kernel_size: Size = 5
    bounded: bool = True

    @model_validator(mode="after")
    def _keeps_the_side(self) -> "GateConfig":
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, not {self.kernel_size}")
        return self


@dataclass(frozen=True, config=STRICT)
class _Encoder:
    """What every encoder has.

    Attributes:
        frame_stack: Successive frames that it sees at once, the newest last; the first frame of an
            episode stands for those before it.
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
        gate: The gating network before the convolutions; ``None`` for none.
    """

    filters: Layers = (32, 32, 32, 32)
    kernel_size: Size = 3
    strides: Layers = (2, 1, 1, 1)
    paddings: Annotated[tuple[Padding, ...], Field(max_length=16)] = ()
    output_size: Size = 50
    pixel_scaling: Literal["unit", "centered", "standardized"] = "unit"
    delta_orthogonal: bool = True
    frame_stack: Annotated[int, Field(ge=1, le=16)] = 1
    gate: GateConfig | None = None

    @property
    def width(self) -> int:
        """Size of all that it gives."""
        return self.output_size

    @model_validator(mode="after")
    def _strides_fit(self) -> Self:
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


@refuses_in_a_sentence("world_model.encoder")
@dataclass(frozen=True, config=STRICT)
class EncoderConfig(_Encoder):
    """The observation encoder f: convolutions, a linear layer and LayerNorm without affine.

    Attributes:
        kind: ``"convolutional"``.
    """

    kind: Kind[Literal["convolutional"]] = "convolutional"


@refuses_in_a_sentence("world_model.encoder")
@dataclass(frozen=True, config=STRICT)
class SharedEncoderConfig(_Encoder):
    """Convolutions that critics and actor share; each has a linear layer and LayerNorm of its own.

    The actor does not move the convolutions. What it gives is the critics' encoding, and then the
    actor's, each of ``output_size``.

    Attributes:
        kind: ``"shared"``.
        actor: Whether there is an actor.
        tanh: Whether both encodings end in a tanh, as DrQ's do.
    """

    actor: bool = True
    tanh: bool = False
    kind: Kind[Literal["shared"]] = "shared"

    @property
    def width(self) -> int:
        """Size of all that it gives."""
        return (1 + self.actor) * self.output_size


@dataclass(frozen=True, config=STRICT)
class _Dynamics:
    """What every kind of dynamics has.

    Attributes:
        stochastic_size: Size of s.
        observation_layers: ObsMLP, whose output has LayerNorm.
        observation_output: How ObsMLP ends: ``"linear"``, as published, has no activation after
            the last layer and a LayerNorm without affine; ``"elu"`` has both.
        prior_layers: Hidden layers of PriorMLP.
        posterior_layers: Hidden layers of PosteriorMLP.
        normalize_statistics: LayerNorm over the joined mean and log standard deviation, as
            published. It makes the first samples wide (standard deviation about 1).
        log_std_offset: Added to the log standard deviations of prior and posterior.
    """

    stochastic_size: Size = 64
    observation_layers: AtLeastOneLayer = (256, 256)
    observation_output: Literal["linear", "elu"] = "linear"
    prior_layers: AtLeastOneLayer = (400, 400, 400)
    posterior_layers: AtLeastOneLayer = (400, 400)
    normalize_statistics: bool = True
    log_std_offset: Annotated[float, Field(ge=-10, le=10)] = 0.0


@refuses_in_a_sentence("world_model.dynamics")
@dataclass(frozen=True, config=STRICT)
class RecurrentDynamicsConfig(_Dynamics):
    """The recurrent state-space model (Appendix A).

    Attributes:
        kind: ``"recurrent"``.
        deterministic_size: Size of h.
        recurrent_layers: GRU_MLP.
        initial_std: ``None``, as published: h is 0 at the first frame of an episode or sequence. A
            number: the recurrence takes a step before it, from h = 0, a zero action and s with
            this standard deviation; 0 is Algorithm 1 of the paper.
    """

    kind: Kind[Literal["recurrent"]] = "recurrent"
    deterministic_size: Size = 200
    recurrent_layers: AtLeastOneLayer = (400, 400)
    initial_std: NonNegative | None = None


@refuses_in_a_sentence("world_model.dynamics")
@dataclass(frozen=True, config=STRICT)
class FeedForwardDynamicsConfig(_Dynamics):
    """A state-space model without recurrence (Figure 3): s alone, of what was just observed.

    The posterior follows from the observation, the prior from s and the action before.

    Attributes:
        kind: ``"feed-forward"``.
    """

    kind: Kind[Literal["feed-forward"]] = "feed-forward"

    @property
    def deterministic_size(self) -> int:
        """There is no h."""
        return 0


@refuses_in_a_sentence("world_model.dynamics")
@dataclass(frozen=True, config=STRICT)
class IdentityDynamicsConfig:
    """No state-space model: the latent state is what was just encoded, nothing predicts it.

    Attributes:
        kind: ``"identity"``.
    """

    kind: Kind[Literal["identity"]] = "identity"


DynamicsConfig = Annotated[
    RecurrentDynamicsConfig | FeedForwardDynamicsConfig | IdentityDynamicsConfig,
    Field(discriminator="kind"),
]


@refuses_in_a_sentence("world_model")
@dataclass(frozen=True, config=STRICT)
class WorldModelConfig:
    """What a model sees and how its latent state follows from it (Table 4).

    Attributes:
        frame_size: Side in pixels of the square frames that the environment gives.
        crop_size: Side in pixels of the square that the encoder sees: cut at random while
            learning, from the centre while acting, so that what lies outside of the central one
            is never seen while acting. Where only ``frame_size`` is changed, it keeps its share
            of the frame's side.
        encoder: The observation encoder f.
        proprioception_layers: The MLP whose output joins x in ObsMLP's input, where the
            environment gives proprioception.
        dynamics: The state-space model.
    """

    frame_size: Size = 100
    crop_size: Annotated[Size, WrapValidator(_follow_frame), Field(validate_default=True)] = (
        Crop.of_frame(Fraction(84, 100), 100)
    )
    encoder: Annotated[EncoderConfig | SharedEncoderConfig, Field(discriminator="kind")] = (
        EncoderConfig()
    )
    proprioception_layers: AtLeastOneLayer = (200, 200, 200)
    dynamics: DynamicsConfig = RecurrentDynamicsConfig()

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
        return self


@refuses_in_a_sentence("objectives.frames")
@dataclass(frozen=True, config=STRICT)
class ContrastiveConfig:
    """L_c, equation (1), and the observation-representation decoder g that it trains.

    Attributes:
        kind: ``"contrastive"``.
        weight: Of L_c in J_M.
        layers: Hidden layers of g.
        decoded: The state that g predicts the encoding from: the ``"prior"`` as published, or the
            ``"posterior"``, which scores the first frame of a sequence too.
        negatives: The other frames of the ``"mini-batch"``, as published, or of the
            ``"same-sequence"`` alone.
        proprioception: Whether L_c compares, and g predicts, the encodings of frame and
            proprioception joined, as published, or those of the frame alone.
        inverse_temperature: ℓ at the start; λ = softplus(ℓ).
    """

    weight: NonNegative = 1.0
    layers: Layers = (256, 256)
    decoded: Literal["prior", "posterior"] = "prior"
    negatives: Literal["mini-batch", "same-sequence"] = "mini-batch"
    proprioception: bool = True
    inverse_temperature: float = 1.0
    kind: Kind[Literal["contrastive"]] = "contrastive"


@refuses_in_a_sentence("objectives.frames")
@dataclass(frozen=True, config=STRICT)
class ReconstructionConfig:
    """L_x, the error of frames decoded pixel by pixel, in place of L_c (Recon).

    Neither its weight nor the decoder's sizes are published.

    Attributes:
        kind: ``"reconstruction"``.
        weight: Of L_x, a mean over pixels in [0, 1], in J_M.
        layers: Hidden layers of g, whose output has the encoding's size.
        filters: Channels of what goes into each of the pixel decoder's transposed convolutions.
        decoded: The state that is decoded: the ``"prior"``, as published, or the ``"posterior"``,
            which scores the first frame of a sequence too.
    """

    weight: NonNegative = 100.0
    layers: Layers = (256, 256)
    filters: AtLeastOneLayer = (128, 64, 32, 16)
    decoded: Literal["prior", "posterior"] = "prior"
    kind: Kind[Literal["reconstruction"]] = "reconstruction"


@refuses_in_a_sentence("objectives.frames")
@dataclass(frozen=True, config=STRICT)
class MomentumContrastConfig:
    """CURL's contrastive loss between two views of each frame, in place of L_c (RCURL).

    Attributes:
        kind: ``"momentum-contrast"``.
        weight: Of the loss in J_M.
        momentum_rate: τ of the slow copy of the encoder, a step; published for CURL, not for RCURL.
    """

    weight: NonNegative = 1.0
    momentum_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    kind: Kind[Literal["momentum-contrast"]] = "momentum-contrast"


@refuses_in_a_sentence("objectives.frames")
@dataclass(frozen=True, config=STRICT)
class BisimulationConfig:
    """DBC's losses, in place of L_c, with the dynamics ``"identity"`` alone.

    They are those of a transition model and of a reward model, and the distances between encodings,
    which should be those of rewards and of what follows.

    Attributes:
        kind: ``"bisimulation"``.
        weight: Of their sum in J_M.
        distance_weight: Of the distances in that sum.
        discount: γ of the distances of what follows.
        transition: The transition model: ``"deterministic"``, ``"probabilistic"``, or an
            ``"ensemble"`` of five such ones.
    """

    weight: NonNegative = 1.0
    distance_weight: NonNegative = 0.5
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.99
    transition: Literal["deterministic", "probabilistic", "ensemble"] = "ensemble"
    kind: Kind[Literal["bisimulation"]] = "bisimulation"


FramesConfig = Annotated[
    ContrastiveConfig | ReconstructionConfig | MomentumContrastConfig | BisimulationConfig | None,
    Field(discriminator="kind"),
]


@refuses_in_a_sentence("objectives.kl")
@dataclass(frozen=True, config=STRICT)
class KLConfig:
    """L_KL, equation (2), between posterior and prior.

    Attributes:
        kind: ``"balanced-kl"``.
        weight: β.
        free_nats: L_KL is clipped from below at this many nats.
    """

    weight: NonNegative = 0.01
    free_nats: NonNegative = 1.0
    kind: Kind[Literal["balanced-kl"]] = "balanced-kl"


@refuses_in_a_sentence("objectives.reward")
@dataclass(frozen=True, config=STRICT)
class RewardConfig:
    """L_r, and the reward head that it trains.

    Attributes:
        kind: ``"smooth-l1"``.
        weight: α_r.
        layers: Hidden layers of the head.
        normalized: The head predicts rewards of mean 0 and variance 1, so that the loss counts
            the same for an environment whose rewards are smaller or larger.
    """

    weight: NonNegative = 1.0
    layers: Layers = (128, 128)
    normalized: bool = False
    kind: Kind[Literal["smooth-l1"]] = "smooth-l1"


@refuses_in_a_sentence("objectives.inverse_dynamics")
@dataclass(frozen=True, config=STRICT)
class InverseDynamicsConfig:
    """L_a, and the inverse dynamics head that it trains.

    Attributes:
        kind: ``"squared-error"``.
        weight: α_a.
        layers: Hidden layers of the head.
    """

    weight: NonNegative = 1.0
    layers: Layers = (128, 128)
    kind: Kind[Literal["squared-error"]] = "squared-error"


@refuses_in_a_sentence("objectives.continuation")
@dataclass(frozen=True, config=STRICT)
class ContinuationConfig:
    """The continuation loss, and the head that it trains: whether an episode goes on.

    Not of the paper, whose tasks never terminate. Until an episode does, nothing is learned.

    Attributes:
        kind: ``"cross-entropy"``.
        weight: Of the loss in J_M.
        layers: Hidden layers of the head.
    """

    weight: NonNegative = 1.0
    layers: Layers = (128, 128)
    kind: Kind[Literal["cross-entropy"]] = "cross-entropy"


@refuses_in_a_sentence("objectives")
@dataclass(frozen=True, config=STRICT)
class ObjectivesConfig:
    """The terms of J_M, with the heads that they train; ``None`` for a term that there is not.

    Attributes:
        frames: What keeps in the latent state what the frames show.
        kl: What keeps posterior and prior together.
        reward: What predicts rewards.
        inverse_dynamics: What tells the action between two states.
        continuation: What predicts whether an episode goes on or terminates.
    """

    frames: FramesConfig = ContrastiveConfig()
    kl: KLConfig | None = KLConfig()
    reward: RewardConfig | None = RewardConfig()
    inverse_dynamics: InverseDynamicsConfig | None = InverseDynamicsConfig()
    continuation: ContinuationConfig | None = None

    @property
    def use_prior(self) -> bool:
        """Whether one of them needs the prior."""
        return self.kl is not None or getattr(self.frames, "decoded", None) == "prior"


@refuses_in_a_sentence("augmentation")
@dataclass(frozen=True, config=STRICT)
class AugmentationConfig:
    """How the frames that the learner sees are changed, besides the random crop.

    Attributes:
        shift: Pixels by which a sequence is shifted at random to each side, its edges repeated; 0
            for none.
        texture_opacity: Greatest opacity of the random textures that are laid over half of the
            frames; 0 for none.
        color_jitter: Greatest relative change of the colours of those frames; 0 for none.
        camera_jitter: How far half of the frames are turned, zoomed and shifted, each
            frame independently; 0 for none. At 0.1, 0.2 and 0.3 they are turned as far as the
            camera of the Distracting Control Suite rolls at easy, medium and hard.
    """

    shift: Padding = 0
    texture_opacity: Annotated[float, Field(ge=0, le=1)] = 0.0
    color_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    camera_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
