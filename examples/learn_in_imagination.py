"""PPO learns in what a world model imagines, and then acts in the real environment.

python examples/learn_in_imagination.py
"""

from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from core_repr import CoReWrapper
from core_repr.agent import LatentAgent
from core_repr.wrappers import ImaginedVecEnv, record_states


def main(
    model: str = "cartpole-swingup-medium-v1",
    env_id: str = "distracting_control/cartpole-swingup-v0",
    recorded_steps: int = 2_500,
    agent_steps: int = 1_000_000,
    horizon: int = 5,
    episodes: int = 10,
) -> None:
    """Records states, learns from what is imagined of them, and evaluates on other backgrounds."""
    level: dict[str, Any] = {"difficulty": "medium", "dynamic": True}
    env = CoReWrapper(gym.make(env_id, **level), model)
    # Half of the episodes at random: where the agent has been, and where it has not.
    player = LatentAgent(model, env.action_space, seed=0)
    starts = record_states(env, recorded_steps, player, random_episodes=0.5, seed=0)

    imagined = ImaginedVecEnv(env.model, starts, horizon=horizon, num_envs=256)
    agent = PPO("MlpPolicy", imagined, n_steps=16, batch_size=1024, n_epochs=5, device="cpu")
    agent.learn(agent_steps, progress_bar=True)

    real = CoReWrapper(gym.make(env_id, split="val", **level), model)
    real.reset(seed=0)
    returns, _ = evaluate_policy(agent, real, episodes, return_episode_rewards=True, warn=False)
    error = np.std(returns, ddof=1) / np.sqrt(episodes)
    print(f"return on unseen backgrounds: {np.mean(returns):.0f} ± {error:.0f}")


if __name__ == "__main__":
    tyro.cli(main)
