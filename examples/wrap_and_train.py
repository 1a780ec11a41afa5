"""Train SB3's SAC on the latents of a pretrained model, and watch it on unseen backgrounds.

python examples/wrap_and_train.py
"""

import gymnasium as gym
import tyro
from stable_baselines3 import SAC

from core_repr import CoReWrapper
from core_repr.evaluation import evaluate


def main(agent_steps: int = 5_000, episodes: int = 10) -> None:
    """Trains for some agent steps and prints the mean return of some episodes."""
    model = "cartpole-swingup-easy-v0"
    environment = "distracting_control/cartpole-swingup-v0"
    env = CoReWrapper(gym.make(environment, difficulty="easy", dynamic=True), model)
    agent = SAC("MlpPolicy", env).learn(agent_steps, progress_bar=True)

    unseen = gym.make(environment, difficulty="easy", dynamic=True, split="val")
    result = evaluate(agent, CoReWrapper(unseen, model), episodes)
    print(f"return on unseen backgrounds: {result.mean:.0f} ± {result.standard_error:.0f}")


if __name__ == "__main__":
    tyro.cli(main)
