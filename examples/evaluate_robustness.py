"""Train an agent under easy distractions, and see what others do to it.

The same agent is evaluated under none, easy, medium and hard ones, on unseen backgrounds.

python examples/evaluate_robustness.py
"""

import gymnasium as gym
import tyro
from stable_baselines3 import SAC

from core_repr import CoReWrapper
from core_repr.evaluation import RandomAgent, evaluate


def make(difficulty: str | None, split: str) -> CoReWrapper:
    """Makes a wrapped environment."""
    pixels = gym.make(
        "distracting_control/cartpole-swingup-v0",
        difficulty=difficulty,
        dynamic=True,
        split=split,
    )
    return CoReWrapper(pixels, "cartpole-swingup-easy-v0")


def main(agent_steps: int = 5_000, episodes: int = 10) -> None:
    """Trains for some agent steps and prints the mean returns of some episodes each."""
    agent = SAC("MlpPolicy", make("easy", "train")).learn(agent_steps, progress_bar=True)
    print("distractions  trained agent  random actions")
    for difficulty in (None, "easy", "medium", "hard"):
        env = make(difficulty, "val")
        trained = evaluate(agent, env, episodes)
        untrained = evaluate(RandomAgent(env.action_space), env, episodes)
        print(
            f"{difficulty or 'none':>12}  {trained.mean:6.0f} ± {trained.standard_error:4.0f}"
            f"  {untrained.mean:6.0f} ± {untrained.standard_error:5.0f}"
        )
        env.close()


if __name__ == "__main__":
    tyro.cli(main)
