"""Every setting of a model and of its training, as validated, JSON-serialisable dataclasses.

The defaults are the preset ``paper`` (Tables 4 and 5 of the paper, with the settings that its
authors published later); :data:`PRESETS` holds the presets by name, and :data:`VARIANTS` the
systems that the paper compares.
"""

from core_repr.config.core import DATASET, CoReConfig, EnvironmentConfig, WrapperConfig
from core_repr.config.formats import FORMAT_VERSION
from core_repr.config.learning import (
    AgentConfig,
    FeedForwardSACConfig,
    ImaginationConfig,
    LearningConfig,
    PolicySimilarityConfig,
    QTOptConfig,
    SACConfig,
)
from core_repr.config.parts import (
    AugmentationConfig,
    BisimulationConfig,
    ContinuationConfig,
    ContrastiveConfig,
    EncoderConfig,
    FeedForwardDynamicsConfig,
    GateConfig,
    IdentityDynamicsConfig,
    InverseDynamicsConfig,
    KLConfig,
    MomentumContrastConfig,
    ObjectivesConfig,
    ReconstructionConfig,
    RecurrentDynamicsConfig,
    RewardConfig,
    SharedEncoderConfig,
    WorldModelConfig,
)
from core_repr.config.presets import PRESETS, compact, paper
from core_repr.config.variants import VARIANTS, make_variant, variant_of

__all__ = [
    "DATASET",
    "FORMAT_VERSION",
    "PRESETS",
    "VARIANTS",
    "AgentConfig",
    "AugmentationConfig",
    "BisimulationConfig",
    "CoReConfig",
    "ContinuationConfig",
    "ContrastiveConfig",
    "EncoderConfig",
    "EnvironmentConfig",
    "FeedForwardDynamicsConfig",
    "FeedForwardSACConfig",
    "GateConfig",
    "IdentityDynamicsConfig",
    "ImaginationConfig",
    "InverseDynamicsConfig",
    "KLConfig",
    "LearningConfig",
    "MomentumContrastConfig",
    "ObjectivesConfig",
    "PolicySimilarityConfig",
    "QTOptConfig",
    "ReconstructionConfig",
    "RecurrentDynamicsConfig",
    "RewardConfig",
    "SACConfig",
    "SharedEncoderConfig",
    "WorldModelConfig",
    "WrapperConfig",
    "compact",
    "make_variant",
    "paper",
    "variant_of",
]
