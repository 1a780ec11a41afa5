"""Learn a world model of your own environment, and then anything else on its latents.

python examples/your_own_environment.py
"""

from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from stable_baselines3 import PPO

from core_repr import CoReSAC, CoReWrapper


class Reach(gym.Env[Any, Any]):
    """A white square is to be moved to the middle, over a background of changing colour."""

    observation_space = gym.spaces.Box(0, 255, (72, 72, 3), np.uint8)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Puts the square somewhere."""
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.uniform(-1, 1, 2), 0
        self.colour = self.np_random.integers(200, size=3)
        return self.frame(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Moves it."""
        self.place, self.steps = np.clip(self.place + 0.2 * action, -1, 1), self.steps + 1
        self.colour = np.clip(self.colour + self.np_random.integers(-9, 10, 3), 0, 200)
        reward = 1 - float(np.linalg.norm(self.place))
        return self.frame(), reward, False, self.steps == 100, {}

    def frame(self) -> Any:
        """Draws it."""
        frame = np.tile(self.colour.astype(np.uint8), (72, 72, 1))
        row, column = (30 + 22 * self.place).astype(int)
        frame[row : row + 12, column : column + 12] = 255
        return frame


def main(agent_steps: int = 10_000, folder: str = "runs/reach") -> None:
    """Trains CoRe for some agent steps, and PPO for as many on what it has learned to see."""
    core = CoReSAC("CoRePolicy", Reach(), config="compact", verbose=1)
    core.learn(agent_steps, progress_bar=True).save_pretrained(folder)

    env = CoReWrapper(Reach(), folder)
    PPO("MlpPolicy", env, n_steps=500, batch_size=100, verbose=1).learn(agent_steps)


if __name__ == "__main__":
    tyro.cli(main)
