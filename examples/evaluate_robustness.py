"""Train an agent on latents under easy distractions, and see what stronger ones do to it.

python examples/evaluate_robustness.py
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro
from stable_baselines3 import SAC

from core_repr import CoReWrapper
from core_repr.evaluation import conditions, robustness

TRAINED: dict[str, Any] = {"difficulty": "easy", "dynamic": True}


def make(**changes: Any) -> CoReWrapper:
    """Makes the environment with backgrounds that no training saw, unless it is told otherwise."""
    arguments = {**TRAINED, "split": "val", **changes}
    env = gym.make("distracting_control/cartpole-swingup-v0", **arguments)
    return CoReWrapper(env, "cartpole-swingup-easy-v0")


def main(
    agent_steps: int = 5_000, episodes: int = 10, figure: Path = Path("robustness.png")
) -> None:
    """Trains for some agent steps, prints a table of returns and draws it."""
    agent = SAC("MlpPolicy", make(split="train")).learn(agent_steps, progress_bar=True)
    report = robustness(agent, make, conditions(TRAINED), episodes, trained_scale=0.1)
    print(report.table())
    report.figure("SAC on latents, trained at level easy").savefig(figure)


if __name__ == "__main__":
    tyro.cli(main)
