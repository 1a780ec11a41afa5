"""The Distracting Control Suite, with CoRe's latents, for LeRobot's EnvHub.

As env.py in a repository of the Hub, it is what LeRobot loads with
make_env("user/distracting-control", n_envs=4, trust_remote_code=True). By itself, it tells what
that is:

python examples/lerobot_env.py
"""

import functools
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from core_repr import CoReWrapper, zoo

SUITE = "distracting_control"
MODELS = {name.split("-medium-")[0]: name for name in zoo.list_models() if "-medium-" in name}


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
    """Makes an environment of a task, under medium distractions that move."""
    env = gym.make(f"{SUITE}/{task}-v0", difficulty="medium", dynamic=True, render_mode="rgb_array")
    return ForLeRobot(CoReWrapper(env, MODELS[task], keep=["pixels"]), task)


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None
) -> dict[str, dict[int, VectorEnv[Any, Any, Any]]]:
    """Makes suite → number of the task → `n_envs` environments; `cfg.task` may name one task."""
    chosen = getattr(cfg, "task", None)
    tasks = [chosen] if chosen in MODELS else sorted(MODELS)
    kind: Any = AsyncVectorEnv if use_async_envs else SyncVectorEnv
    made = {i: kind([functools.partial(make_task, t)] * n_envs) for i, t in enumerate(tasks)}
    return {SUITE: made}


if __name__ == "__main__":
    for number, envs in make_env()[SUITE].items():
        print(number, sorted(MODELS)[number], envs.single_observation_space)
