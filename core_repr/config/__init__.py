"""Every setting of a model and of its training, as validated, JSON-serialisable dataclasses.

The defaults are the preset ``paper`` (Tables 4 and 5 of the paper, with the settings that its
authors published later); :data:`PRESETS` holds the presets by name.
"""

from core_repr.config.core import CoReConfig, EnvironmentConfig
from core_repr.config.formats import FORMAT_VERSION
from core_repr.config.learning import AgentConfig
from core_repr.config.parts import EncoderConfig, LossConfig, WorldModelConfig
from core_repr.config.presets import PRESETS

__all__ = [
    "FORMAT_VERSION",
    "PRESETS",
    "AgentConfig",
    "CoReConfig",
    "EncoderConfig",
    "EnvironmentConfig",
    "LossConfig",
    "WorldModelConfig",
]
