"""The environment that a model was trained in, made again."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from core_repr.config import EnvironmentConfig


def make_environment(environment: EnvironmentConfig, **changes: Any) -> gym.Env[Any, Any]:
    """Makes the environment that a model's config records, with some arguments changed.

    Args:
        environment: What the config records.
        **changes: Arguments of ``gym.make`` that replace the recorded ones, such as
            ``split="val"`` for backgrounds that the training has not seen.

    Raises:
        gymnasium.error.Error: If the environment is not registered.
    """
    return gym.make(environment.id, **{**environment.arguments, **changes})
