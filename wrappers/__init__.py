"""What puts a model around environments, or in the place of one.

Around one environment, a vector of Gymnasium's or one of SB3's; or imagined environments.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from core_repr.wrappers.core_wrapper import CoReWrapper
from core_repr.wrappers.imagined import ImaginedVectorEnv, record_states
from core_repr.wrappers.surprise import Surprise, calibrate_surprise
from core_repr.wrappers.vector_wrapper import CoReVectorWrapper

if TYPE_CHECKING:
    from core_repr.wrappers.imagined_vec_env import ImaginedVecEnv
    from core_repr.wrappers.vec_env_wrapper import CoReVecEnvWrapper

__all__ = [
    "CoReVecEnvWrapper",
    "CoReVectorWrapper",
    "CoReWrapper",
    "ImaginedVecEnv",
    "ImaginedVectorEnv",
    "Surprise",
    "calibrate_surprise",
    "record_states",
]

# Stable-Baselines3 takes its time, and not everyone who wraps uses it.
_OF_SB3 = {"CoReVecEnvWrapper": "vec_env_wrapper", "ImaginedVecEnv": "imagined_vec_env"}


def __getattr__(name: str) -> Any:
    if name in _OF_SB3:
        return getattr(import_module(f"{__name__}.{_OF_SB3[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
