"""``core-repr demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from core_repr.commands.environment import Import, import_module
from core_repr.commands.numbers import at_least
from core_repr.commands.threads import use_one_thread


@dataclass
class Demo:
    """Shows a shipped model at work, and trains SB3's SAC from nothing on its latents.

    Attributes:
        model: A zoo name, a folder, such as a run's model folder, or a Hub repository, user/repo.
        folder: Where video, learning curve and results go.
        env_steps: Simulator steps to train SB3's SAC for.
        episodes: Episodes of each evaluation.
        seed: Seeds everything that is random.
        import_: Module to import first, which registers the environment that the model was
            trained in.
    """

    model: tyro.conf.Positional[str] = "cartpole-swingup-easy-v0"
    folder: Path = Path("demo")
    env_steps: int = 40_000
    episodes: int = 10
    seed: int = 0
    import_: Import = None

    def __call__(self) -> int:
        """Runs the demo."""
        from core_repr.demo import demo

        at_least(1, episodes=self.episodes)
        at_least(0, seed=self.seed)
        use_one_thread()
        import_module(self.import_)
        demo(self.model, self.folder, self.env_steps, self.episodes, self.seed)
        return 0
