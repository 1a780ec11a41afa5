"""What puts a model around environments: one, a vector of Gymnasium's, or a vector of SB3's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core_repr.wrappers.core_wrapper import CoReWrapper
from core_repr.wrappers.vector_wrapper import CoReVectorWrapper

if TYPE_CHECKING:
    from core_repr.wrappers.vec_env_wrapper import CoReVecEnvWrapper

__all__ = ["CoReVecEnvWrapper", "CoReVectorWrapper", "CoReWrapper"]


def __getattr__(name: str) -> Any:
    # Stable-Baselines3 takes its time, and not everyone who wraps uses it.
    if name == "CoReVecEnvWrapper":
        from core_repr.wrappers.vec_env_wrapper import CoReVecEnvWrapper

        return CoReVecEnvWrapper
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
