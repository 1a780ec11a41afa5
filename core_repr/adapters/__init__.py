"""What an environment may be: its observations and actions, brought to the model's form.

The agent and the wrappers adapt and refuse the same environments, because both do it here.
"""

from core_repr.adapters.actions import ActionScaler, bounded
from core_repr.adapters.frames import FrameReader
from core_repr.adapters.grey import refuse_grey
from core_repr.adapters.layers import KeepsLast, action_repeat, held_by_wrappers, keep_last
from core_repr.adapters.observations import (
    Observation,
    ObservationReader,
    find_pixels,
    find_proprioception,
    last_observations,
)

__all__ = [
    "ActionScaler",
    "FrameReader",
    "KeepsLast",
    "Observation",
    "ObservationReader",
    "action_repeat",
    "bounded",
    "find_pixels",
    "find_proprioception",
    "held_by_wrappers",
    "keep_last",
    "last_observations",
    "refuse_grey",
]
