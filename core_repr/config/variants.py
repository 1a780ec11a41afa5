"""The systems that the paper compares, as changes of CoRe: Tables 2 and 3, Figures 3, 9 and 10.

Each works with every preset: ``core-repr train --variant NAME``.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from core_repr.config.core import CoReConfig
from core_repr.config.learning import ImaginationConfig
from core_repr.config.parts import (
    FeedForwardDynamicsConfig,
    GateConfig,
    MomentumContrastConfig,
    ReconstructionConfig,
)


class Variant(NamedTuple):
    """A system as a change of CoRe.

    Attributes:
        title: Its name in the paper.
        changes: Field → value, or the changes of the part that the field holds.
    """

    title: str
    changes: Mapping[str, Any]


_OF_CRITICS_ALONE = {
    "initial_updates": 0,
    "joint_update": False,
    "critic_weight": 1.0,
}

VARIANTS = {
    "core": Variant("CoRe", {}),
    "rsac": Variant(
        "RSAC",
        {
            "objectives": dict.fromkeys(("frames", "kl", "reward", "inverse_dynamics")),
            "agent": _OF_CRITICS_ALONE,
        },
    ),
    "rsac-dyn": Variant(
        "RSAC + Dyn",
        {"objectives": {"frames": None}, "agent": {"joint_update": False, "critic_weight": 1.0}},
    ),
    "recon": Variant("Recon", {"objectives": {"frames": ReconstructionConfig}}),
    "rcurl": Variant(
        "RCURL",
        {
            "objectives": {
                "frames": MomentumContrastConfig,
                **dict.fromkeys(("kl", "reward", "inverse_dynamics")),
            },
            "agent": {**_OF_CRITICS_ALONE, "encoder_learning_rate": 1e-3},
        },
    ),
    "posterior-decoding": Variant(
        "CoRe, posterior decoding", {"objectives": {"frames": {"decoded": "posterior"}}}
    ),
    "same-sequence-negatives": Variant(
        "CoRe, same-sequence negatives", {"objectives": {"frames": {"negatives": "same-sequence"}}}
    ),
    "no-inverse-dynamics": Variant("Fwd + reward", {"objectives": {"inverse_dynamics": None}}),
    "no-reward": Variant("Fwd + inv", {"objectives": {"reward": None}}),
    "forward-only": Variant("Fwd only", {"objectives": {"reward": None, "inverse_dynamics": None}}),
    "no-critic-gradient": Variant("CoRe, J_Q not into Θ", {"agent": {"critic_weight": 0.0}}),
    "imagination": Variant(
        "CoRe, learning in imagination",
        {
            "agent": {
                "imagination": ImaginationConfig(),
                "critic_weight": 0.0,
            }
        },
    ),
    "gated": Variant("CoRe + gating", {"world_model": {"encoder": {"gate": GateConfig()}}}),
    "no-recurrence": Variant(
        "CoRe without recurrence",
        {
            "world_model": {
                "encoder": {"frame_stack": 3},
                "dynamics": FeedForwardDynamicsConfig,
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
    parts = {
        name: variant.changes
        for name, variant in VARIANTS.items()
        if not variant.changes or _has_parts(variant.changes)
    }
    fitting = [name for name, changes in parts.items() if _holds(config, changes)]
    return max(fitting, key=lambda name: _size(parts[name]))


def _has_parts(changes: Mapping[str, Any]) -> bool:
    agent = changes.get("agent", {})
    return bool(changes.keys() - {"agent"}) or any(map(dataclasses.is_dataclass, agent.values()))


def _holds(part: Any, changes: Mapping[str, Any]) -> bool:
    for field, value in changes.items():
        found = getattr(part, field)
        if isinstance(value, Mapping):
            if found is None or not _holds(found, value):
                return False
        elif type(found) is not value if isinstance(value, type) else found != value:
            return False
    return True


def _size(changes: Mapping[str, Any]) -> int:
    return sum(_size(v) if isinstance(v, Mapping) else 1 for v in changes.values())


def _change(part: Any, changes: Mapping[str, Any]) -> Any:
    return dataclasses.replace(
        part, **{field: _changed(getattr(part, field), value) for field, value in changes.items()}
    )


def _changed(before: Any, change: Any) -> Any:
    if isinstance(change, Mapping):
        return _change(before, change)
    if isinstance(change, type):
        # Another kind of part, of the sizes that both have. A weight means something else there.
        names = {field.name for field in dataclasses.fields(change)} - {"kind", "weight"}
        shared = names & {field.name for field in dataclasses.fields(before)}
        return change(**{name: getattr(before, name) for name in shared})
    return change
