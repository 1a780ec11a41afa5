"""Train an SB3 agent on latents of robosuite's door, from a model that was trained there.

pip install "core-repr[robosuite,suite]"
core-repr train --env distracting_robosuite/Door-v0 --env-args distractions=color --run runs/door
python examples/robosuite_on_latents.py
"""

import functools

import gymnasium as gym
import tyro
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import SubprocVecEnv, VecMonitor

from core_repr import CoReVecEnvWrapper


def make(robot: str) -> gym.Env:
    """Makes the door; it cannot be pickled, so every process makes its own."""
    import core_repr  # noqa: F401  (registers the environments)

    return gym.make("distracting_robosuite/Door-v0", robot=robot, distractions="color")


def main(
    model: str = "runs/door/model",
    robot: str = "Panda",
    environments: int = 2,
    agent_steps: int = 100_000,
    path: str = "door",
) -> None:
    """Trains for some agent steps in several processes, whose frames one model encodes."""
    venv = VecMonitor(SubprocVecEnv([functools.partial(make, robot)] * environments))
    latents = CoReVecEnvWrapper(venv, model)
    agent = SAC("MlpPolicy", latents, batch_size=128, train_freq=10, gradient_steps=5, verbose=1)
    agent.learn(agent_steps, progress_bar=True).save(path)
    latents.close()


if __name__ == "__main__":
    tyro.cli(main)
