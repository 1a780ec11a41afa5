"""Presets: settings by name."""

from core_repr.config.core import CoReConfig
from core_repr.config.learning import SACConfig
from core_repr.config.parts import (
    AugmentationConfig,
    ContinuationConfig,
    ContrastiveConfig,
    EncoderConfig,
    ObjectivesConfig,
    RecurrentDynamicsConfig,
    RewardConfig,
    WorldModelConfig,
)


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
            dynamics=RecurrentDynamicsConfig(
                observation_layers=(128,),
                observation_output="elu",
                recurrent_layers=(256,),
                prior_layers=(256, 256),
                posterior_layers=(256,),
                normalize_statistics=False,
                log_std_offset=-2.0,
                initial_std=0.0,
            ),
        ),
        objectives=ObjectivesConfig(
            frames=ContrastiveConfig(weight=0.3, layers=(256,), proprioception=False),
            reward=RewardConfig(weight=3.0),
            continuation=ContinuationConfig(),
        ),
        augmentation=AugmentationConfig(texture_opacity=1.0, color_jitter=0.3),
        agent=SACConfig(
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
        ),
    )


PRESETS = {"compact": compact, "paper": paper}
"""Preset name → function that returns its :class:`CoReConfig`."""
