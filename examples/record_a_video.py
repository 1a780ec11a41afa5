"""Train an agent on latents and record an episode: the scene, and beside it what the model sees.

python examples/record_a_video.py
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro
from stable_baselines3 import SAC

from core_repr import CoReWrapper
from core_repr.evaluation import side_by_side, upscale, write_video


def main(agent_steps: int = 5_000, path: Path = Path("runs/episode.mp4")) -> None:
    """Trains for some agent steps and records an episode to an .mp4 file."""
    pixels = gym.make(
        "distracting_control/cartpole-swingup-v0",
        difficulty="easy",
        dynamic=True,
        render_mode="rgb_array",
    )
    model = "cartpole-swingup-easy-v0"
    agent = SAC("MlpPolicy", CoReWrapper(pixels, model)).learn(agent_steps, progress_bar=True)

    # The latents are for the agent, the pixels beside them for the viewer.
    env = CoReWrapper(pixels, model, keep=["pixels"])
    frames, over = [], False
    observation, _ = env.reset(seed=0)
    while not over:
        scene: Any = env.render()
        seen = observation["pixels"]
        frames.append(side_by_side([scene, upscale(seen, len(scene) // len(seen))]))
        action, _ = agent.predict(observation["latent"], deterministic=True)
        observation, _, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
    print(f"video: {write_video(path, frames, fps=env.metadata['render_fps'])}")


if __name__ == "__main__":
    tyro.cli(main)
