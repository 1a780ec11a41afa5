"""The Distracting Control Suite, with CoRe's latents, as an environment of LeRobot's EnvHub.

As env.py in a repository of the Hub, it is what LeRobot loads:

from lerobot.envs.factory import make_env

suites = make_env("user/distracting-control", n_envs=4, trust_remote_code=True)
"""

import functools
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

import core_repr  # noqa: F401  (registers the environments)
from core_repr import CoReWrapper

SUITE = "distracting_control"
MODELS = {
    "ball_in_cup-catch": "ball_in_cup-catch-medium-v1",
    "cartpole-swingup": "cartpole-swingup-medium-v0",
    "cheetah-run": "cheetah-run-medium-v1",
    "finger-spin": "finger-spin-medium-v1",
    "reacher-easy": "reacher-easy-medium-v1",
    "walker-walk": "walker-walk-medium-v1",
}
DISTRACTIONS: dict[str, Any] = {"difficulty": "medium", "dynamic": True}


class ForLeRobot(gym.ObservationWrapper[Any, Any, Any]):
    """Names observations as LeRobot does: pixels, and latents as the environment's state."""

    def __init__(self, env: gym.Env[Any, Any], task: str) -> None:
        super().__init__(env)
        self.task = self.task_description = task.replace("-", " ").replace("_", " ")
        own: Any = env.observation_space
        self.observation_space = gym.spaces.Dict(
            {"pixels": own["pixels"], "environment_state": own["latent"]}
        )

    def observation(self, observation: Any) -> Any:
        """Renames the parts."""
        return {"pixels": observation["pixels"], "environment_state": observation["latent"]}


def make_task(task: str) -> gym.Env[Any, Any]:
    """Makes an environment of a task."""
    env = gym.make(f"{SUITE}/{task}-v0", render_mode="rgb_array", **DISTRACTIONS)
    return ForLeRobot(CoReWrapper(env, MODELS[task], keep=["pixels"]), task)


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None
) -> dict[str, dict[int, VectorEnv[Any, Any, Any]]]:
    """Makes what LeRobot asks for: suite → number of the task → environments in a vector.

    Args:
        n_envs: Of each task.
        use_async_envs: Whether each has a process of its own.
        cfg: LeRobot's own; its `task` may name one of the tasks, such as cartpole-swingup.
    """
    chosen = getattr(cfg, "task", None)
    tasks = [chosen] if chosen in MODELS else sorted(MODELS)
    kind: Any = AsyncVectorEnv if use_async_envs else SyncVectorEnv
    made = {i: kind([functools.partial(make_task, t)] * n_envs) for i, t in enumerate(tasks)}
    return {SUITE: made}
