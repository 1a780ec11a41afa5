"""Train SB3's PPO on many environments at once, in processes of their own, with one model.

The model sees the frames of all environments in one batch.

python examples/vectorised_training.py
"""

import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import SubprocVecEnv

from core_repr import CoReVecEnvWrapper


def make(environments: int, split: str) -> CoReVecEnvWrapper:
    """Makes environments that show the backgrounds of one split."""
    pixels = make_vec_env(
        # The part before the colon is imported in every process: it registers the environment.
        "core_repr:distracting_control/cartpole-swingup-v0",
        n_envs=environments,
        env_kwargs={"difficulty": "easy", "dynamic": True, "split": split},
        vec_env_cls=SubprocVecEnv,
    )
    return CoReVecEnvWrapper(pixels, "cartpole-swingup-easy-v0")


def main(
    agent_steps: int = 50_000, environments: int = 8, rollout_steps: int = 250, episodes: int = 16
) -> None:
    """Trains for some agent steps, of all environments together, and prints the mean return."""
    envs = make(environments, "train")
    agent = PPO("MlpPolicy", envs, n_steps=rollout_steps, batch_size=rollout_steps)
    agent.learn(agent_steps, progress_bar=True)
    envs.close()

    unseen = make(environments, "val")
    mean, deviation = evaluate_policy(agent, unseen, episodes)
    print(f"return on unseen backgrounds: {mean:.0f}, standard deviation {deviation:.0f}")
    unseen.close()


if __name__ == "__main__":
    tyro.cli(main)
