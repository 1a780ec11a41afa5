"""The systems that the paper compares, as changes of CoRe: Tables 2 and 3, Figures 3, 9 and 10.

Each works with every preset: ``core-repr train --variant NAME``.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from core_repr.config.core import CoReConfig
from core_repr.config.learning import (
    FeedForwardSACConfig,
    ImaginationConfig,
    PolicySimilarityConfig,
    QTOptConfig,
)
from core_repr.config.parts import (
    AugmentationConfig,
    BisimulationConfig,
    ContinuationConfig,
    FeedForwardDynamicsConfig,
    GateConfig,
    IdentityDynamicsConfig,
    MomentumContrastConfig,
    ReconstructionConfig,
    SharedEncoderConfig,
)


class Part:
    """Another kind of part, with the settings that both kinds have.

    Not its weight, which means something else there.

    Args:
        kind: Of the part.
        **changes: Settings that are others.
    """

    def __init__(self, kind: type, **changes: Any) -> None:
        self.kind, self.changes = kind, changes

    def of(self, part: Any) -> Any:
        """Returns a part of this kind in the place of ``part``."""
        names = {field.name for field in dataclasses.fields(self.kind)} - {"kind", "weight"}
        shared = names & {field.name for field in dataclasses.fields(part)}
        return self.kind(**{**{name: getattr(part, name) for name in shared}, **self.changes})


class Same:
    """The number that another field of the part has.

    Args:
        field: Its name.
    """

    def __init__(self, field: str) -> None:
        self.field = field


class Extra:
    """A part that a variant brings, but that does not tell it from others.

    Args:
        part: Its config.
    """

    def __init__(self, part: Any) -> None:
        self.part = part


class Variant(NamedTuple):
    """A system as a change of CoRe.

    Attributes:
        title: Its name in the paper.
        about: What it is, and where it is our reading.
        changes: Field → value, a :class:`Part`, :class:`Extra`, :class:`Same` as another field, or
            the changes of the part that the field holds.
    """

    title: str
    about: str
    changes: Mapping[str, Any]


_WITHOUT_A_WORLD_MODEL = dict.fromkeys(("kl", "reward", "inverse_dynamics", "continuation"))

_OF_CRITICS_ALONE = {
    "initial_updates": 0,
    "joint_update": False,
    "critic_weight": 1.0,
}


def _feed_forward(
    agent: FeedForwardSACConfig | QTOptConfig,
    frames: Any = None,
    *,
    whole: bool = False,
    shift: int = 0,
    tanh: bool = False,
) -> Mapping[str, Any]:
    """Returns what the baselines on stacked frames have in common.

    Args:
        agent: What learns.
        frames: The objective of that slot.
        whole: Whether frames are rendered as large as the encoder sees them, not cropped.
        shift: Pixels by which an observation is shifted at random.
        tanh: Whether encodings end in a tanh.
    """
    has_actor = isinstance(agent, FeedForwardSACConfig)
    encoder = Part(SharedEncoderConfig, frame_stack=3, actor=has_actor, tanh=tanh)
    size = Same("crop_size")
    return {
        "world_model": {
            "encoder": encoder,
            "dynamics": IdentityDynamicsConfig(),
            **({"frame_size": size, "crop_size": size} if whole else {}),
        },
        "objectives": {"frames": frames, **_WITHOUT_A_WORLD_MODEL},
        "augmentation": AugmentationConfig(shift=shift),
        "agent": agent,
    }


def _drq(similarity: PolicySimilarityConfig | None = None) -> FeedForwardSACConfig:
    """Returns the settings of the agent that PSE builds on."""
    return FeedForwardSACConfig(
        batch_size=256,
        views=2,
        similarity=similarity,
        encoder_target_rate=0.01,
        entropy_learning_rate=1e-3,
    )


VARIANTS = {
    "core": Variant(
        "CoRe",
        "A contrastive recurrent state-space model: it predicts the encoding of the next "
        "frame, not its pixels, and so need not draw the background.",
        {},
    ),
    "rsac": Variant(
        "RSAC",
        "CoRe's recurrent network without any world-model loss and without a prior: the "
        "critics alone train it.",
        {
            "objectives": {"frames": None, **_WITHOUT_A_WORLD_MODEL},
            "agent": _OF_CRITICS_ALONE,
        },
    ),
    "rsac-dyn": Variant(
        "RSAC + Dyn",
        "CoRe without its contrastive loss: L_KL, L_r, L_a and the critics train the "
        "recurrent network. That reward and inverse dynamics belong to it is our reading.",
        {"objectives": {"frames": None}, "agent": {"joint_update": False, "critic_weight": 1.0}},
    ),
    "recon": Variant(
        "Recon",
        "CoRe with a pixel decoder in place of the contrastive loss: from g(ẑ), transposed "
        "convolutions draw the frame, compared by a smooth-L1 error. The decoder's sizes and "
        "the weight of its loss are published nowhere; they are ours.",
        {"objectives": {"frames": Part(ReconstructionConfig)}},
    ),
    "rcurl": Variant(
        "RCURL",
        "CoRe's recurrent network with CURL's contrast of two crops of a frame in place of "
        "every world-model loss; the critics train the rest. The rates of that loss and of "
        "the slow copy of the encoder are CURL's, for RCURL's are published nowhere.",
        {
            "objectives": {"frames": MomentumContrastConfig(), **_WITHOUT_A_WORLD_MODEL},
            "agent": {**_OF_CRITICS_ALONE, "encoder_learning_rate": 1e-3},
        },
    ),
    "sac-rad": Variant(
        "SAC + RAD",
        "SAC on three stacked frames, each observation cropped at random, in the form of "
        "RAD's published code. What the rows that the paper quotes differ in is in part "
        "published nowhere.",
        _feed_forward(FeedForwardSACConfig()),
    ),
    "curl": Variant(
        "CURL",
        "SAC + RAD with CURL's contrast of two crops of an observation. Its two Adam steps on "
        "the encoder, of one gradient and one history, are one of twice the rate; the loss "
        "takes its step before the actor, not after.",
        _feed_forward(FeedForwardSACConfig(encoder_learning_rate=2e-3), MomentumContrastConfig()),
    ),
    "dbc": Variant(
        "DBC",
        "SAC on three stacked frames, not changed at random, with DBC's bisimulation loss and the "
        "transition and reward models that it needs. Its published video runs repeat every action "
        "twice; here the task's own repeat stays.",
        _feed_forward(
            FeedForwardSACConfig(
                batch_size=512,
                replay_size=1_000_000,
                initial_updates=1_000,
                model_weight_decay=1e-7,
            ),
            BisimulationConfig(),
            whole=True,
        ),
    ),
    "sac-drq": Variant(
        "SAC + DrQ",
        "SAC on three stacked frames, with targets and losses over two random shifts of each "
        "observation, in the form that PSE's code builds on. Both critics share one linear layer "
        "behind the convolutions, as in DrQ's own code.",
        _feed_forward(_drq(), whole=True, shift=4, tanh=True),
    ),
    "pse": Variant(
        "PSE",
        "SAC + DrQ with a contrastive loss on pairs of episodes of a good policy, each played "
        "twice under two draws of the distractions: states where it acts alike from then on are "
        "alike. How the paper's pairs were made for its own settings is published nowhere.",
        _feed_forward(_drq(PolicySimilarityConfig()), whole=True, shift=4, tanh=True),
    ),
    "qt-opt-rad": Variant(
        "QT-Opt + RAD",
        "Q-learning on three stacked frames, each observation cropped at random; a cross-entropy "
        "search finds the actions. How the rows that the paper quotes search, bound their targets "
        "and explore is published nowhere; all that is ours.",
        _feed_forward(QTOptConfig()),
    ),
    "qt-opt-drq": Variant(
        "QT-Opt + DrQ",
        "Q-learning on three stacked frames, with targets and losses over two random shifts of "
        "each observation; a cross-entropy search finds the actions. How the rows that the paper "
        "quotes search, bound their targets and explore is published nowhere; all that is ours.",
        _feed_forward(QTOptConfig(views=2), whole=True, shift=4),
    ),
    "posterior-decoding": Variant(
        "CoRe, posterior decoding",
        "CoRe whose g predicts the encoding from the posterior, in place of the prior; the "
        "first frame of a sequence is scored too.",
        {"objectives": {"frames": {"decoded": "posterior"}}},
    ),
    "same-sequence-negatives": Variant(
        "CoRe, same-sequence negatives",
        "CoRe whose contrastive loss tells a frame from those of its own sequence alone.",
        {"objectives": {"frames": {"negatives": "same-sequence"}}},
    ),
    "no-inverse-dynamics": Variant(
        "Fwd + reward", "CoRe without L_a.", {"objectives": {"inverse_dynamics": None}}
    ),
    "no-reward": Variant("Fwd + inv", "CoRe without L_r.", {"objectives": {"reward": None}}),
    "forward-only": Variant(
        "Fwd only",
        "CoRe without L_r and L_a.",
        {"objectives": {"reward": None, "inverse_dynamics": None}},
    ),
    "no-critic-gradient": Variant(
        "CoRe, J_Q not into Θ",
        "CoRe whose critics learn from latent states that they do not change; the preset "
        "compact is so itself.",
        {"agent": {"critic_weight": 0.0}},
    ),
    "imagination": Variant(
        "CoRe, learning in imagination",
        "CoRe whose actor learns from roll-outs of the world model, with a value of states in "
        "place of the critics. This one is ours.",
        {
            "objectives": {"continuation": Extra(ContinuationConfig())},
            "agent": {
                "imagination": ImaginationConfig(),
                "updates_per_step": 1.0,
                "agent_updates": 1,
                "averaging_rate": 0.02,
                "critic_weight": 0.0,
            },
        },
    ),
    "gated": Variant(
        "CoRe + gating",
        "CoRe with a gating network before the encoder, whose mask shows which pixels it uses.",
        {"world_model": {"encoder": {"gate": GateConfig()}}},
    ),
    "no-recurrence": Variant(
        "CoRe without recurrence",
        "CoRe without recurrence: the latent state is inferred from three stacked frames "
        "alone, and its prior follows from the state and the action before.",
        {
            "world_model": {
                "encoder": {"frame_stack": 3},
                "dynamics": Part(FeedForwardDynamicsConfig),
            }
        },
    ),
}
"""Name → system."""


def make_variant(config: CoReConfig, name: str) -> CoReConfig:
    """Returns the config of a system of the paper.

    Args:
        config: That of CoRe, such as a preset's.
        name: One of :data:`VARIANTS`.

    Raises:
        ValueError: If there is no such system.
    """
    if name not in VARIANTS:
        near = difflib.get_close_matches(name, VARIANTS) or list(VARIANTS)
        raise ValueError(f"{name!r} is not a variant; expected {' or '.join(near)}.")
    changed: CoReConfig = _change(config, VARIANTS[name].changes)
    return changed


def variant_of(config: CoReConfig) -> str:
    """Returns the system of the paper that the parts of a config make, the most special one.

    Settings of the algorithm alone make none: they differ between presets.
    """
    parts = {name: _parts_of(variant.changes) for name, variant in VARIANTS.items()}
    # What changes settings of the algorithm alone is not told from CoRe.
    parts = {name: own for name, own in parts.items() if own or name == "core"}
    fitting = [name for name, changes in parts.items() if _holds(config, changes)]
    return max(fitting, key=lambda name: (_size(parts[name]), _likeness(config, parts[name])))


def _parts_of(changes: Mapping[str, Any], field: str = "") -> Mapping[str, Any]:
    """Returns the changes that tell a system from others: not the plain settings of its agent."""
    telling = {}
    for name, value in changes.items():
        own = _parts_of(value, name) if isinstance(value, Mapping) else value
        is_setting = field == "agent" and not dataclasses.is_dataclass(own)
        if not (isinstance(own, Extra) or own == {} or is_setting):
            telling[name] = own
    return telling


def _holds(part: Any, changes: Mapping[str, Any]) -> bool:
    """Returns whether a part is what the changes make, whatever the settings of other kinds."""
    return all(
        _fits(getattr(part, field, None), getattr(part, value.field))
        if isinstance(value, Same)
        else _fits(getattr(part, field, None), value)
        for field, value in changes.items()
    )


def _fits(found: Any, change: Any) -> bool:
    if isinstance(change, Mapping):
        return found is not None and _holds(found, change)
    if isinstance(change, Part):
        return isinstance(found, change.kind)
    if dataclasses.is_dataclass(change):
        return type(found) is type(change)
    return bool(found == change)


def _likeness(part: Any, changes: Mapping[str, Any]) -> int:
    """Returns how many settings of whole parts are those that the changes make."""
    likeness = 0
    for field, value in changes.items():
        found = getattr(part, field, None)
        if isinstance(value, Mapping):
            likeness += _likeness(found, value)
        elif dataclasses.is_dataclass(value):
            likeness += sum(_alike(vars(found)[name], own) for name, own in vars(value).items())
    return likeness


def _alike(found: Any, setting: Any) -> bool:
    """Returns whether two settings are the same, or parts of the same kind."""
    if dataclasses.is_dataclass(setting):
        return type(found) is type(setting)
    return bool(found == setting)


def _size(changes: Mapping[str, Any]) -> int:
    return sum(_size(v) if isinstance(v, Mapping) else 1 for v in changes.values())


def _change(part: Any, changes: Mapping[str, Any]) -> Any:
    return dataclasses.replace(
        part,
        **{
            # Without what a crop knows of its frame.
            field: int(getattr(part, value.field))
            if isinstance(value, Same)
            else _changed(getattr(part, field), value)
            for field, value in changes.items()
        },
    )


def _changed(before: Any, change: Any) -> Any:
    if isinstance(change, Mapping):
        return _change(before, change)
    if isinstance(change, Extra):
        return change.part
    return change.of(before) if isinstance(change, Part) else change
