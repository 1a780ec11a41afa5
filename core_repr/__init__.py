"""Robust representations for robot learning from pixels.

Importing this package registers its environments with Gymnasium. Everything else is loaded when it
is first used, so that whoever only makes an environment never waits for the learner:

    import gymnasium as gym
    from core_repr import CoReWrapper

    env = gym.make("distracting_control/cartpole-swingup-v0", difficulty="medium", dynamic=True)
    env = CoReWrapper(env, "cartpole-swingup-medium-v1")

On Linux without a screen it also sets the environment variable `MUJOCO_GL`, where it is unset, to
"egl" or "osmesa": MuJoCo environments of other packages then render there too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from core_repr.envs import register
from core_repr.envs.rendering import prefer_headless

if TYPE_CHECKING:
    from core_repr import agent, config, envs, evaluation, world_model, wrappers, zoo
    from core_repr.agent import CoReSAC, load_agent
    from core_repr.config import CoReConfig
    from core_repr.envs.action_bounds import ActionBounds
    from core_repr.envs.action_repeat import ActionRepeat
    from core_repr.envs.distraction_wrapper import DistractionWrapper
    from core_repr.envs.image_distraction_wrapper import ImageDistractionWrapper
    from core_repr.envs.one_hot_action import OneHotAction
    from core_repr.world_model import CoReWorldModel, LatentState
    from core_repr.wrappers import CoReVecEnvWrapper, CoReVectorWrapper, CoReWrapper

__version__ = "0.1.0"

__all__ = [
    "ActionBounds",
    "ActionRepeat",
    "CoReConfig",
    "CoReSAC",
    "CoReVecEnvWrapper",
    "CoReVectorWrapper",
    "CoReWorldModel",
    "CoReWrapper",
    "DistractionWrapper",
    "ImageDistractionWrapper",
    "LatentState",
    "OneHotAction",
    "__version__",
    "agent",
    "config",
    "envs",
    "evaluation",
    "load_agent",
    "world_model",
    "wrappers",
    "zoo",
]

_HOME = {
    "ActionBounds": "core_repr.envs.action_bounds",
    "ActionRepeat": "core_repr.envs.action_repeat",
    "CoReConfig": "core_repr.config",
    "CoReSAC": "core_repr.agent",
    "CoReVecEnvWrapper": "core_repr.wrappers",
    "CoReVectorWrapper": "core_repr.wrappers",
    "CoReWorldModel": "core_repr.world_model",
    "CoReWrapper": "core_repr.wrappers",
    "DistractionWrapper": "core_repr.envs.distraction_wrapper",
    "ImageDistractionWrapper": "core_repr.envs.image_distraction_wrapper",
    "LatentState": "core_repr.world_model",
    "OneHotAction": "core_repr.envs.one_hot_action",
    "load_agent": "core_repr.agent",
}
_SUBPACKAGES = {"agent", "config", "envs", "evaluation", "world_model", "wrappers", "zoo"}


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(f"core_repr.{name}")
    if name in _HOME:
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value
    raise AttributeError(f"module 'core_repr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


prefer_headless()
register()
