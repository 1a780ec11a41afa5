"""``core-repr evaluate``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from core_repr.commands.environment import EnvironmentChanges, Import, import_module
from core_repr.commands.threads import use_one_thread
from core_repr.files.secrets import redact
from core_repr.files.values import encode

if TYPE_CHECKING:
    from core_repr.evaluation import Evaluation


@dataclass
class Evaluate:
    """Evaluates the agent of a model with its deterministic policy.

    Attributes:
        model: A zoo name, a folder, such as a run's model folder, or a Hub repository, user/repo.
        episodes: How many; episode i is seeded with seed + i.
        seed: Seed of the first episode.
        split: Backgrounds of the training, or validation backgrounds, which it has not seen.
        changes: What to change in the environment.
        import_: Module to import first, which registers the environment that the model was
            trained in.
        output: File to write the outcome to, with every episode's return.
        video: File to write one more episode to, ending in .mp4.
    """

    model: tyro.conf.Positional[str]
    episodes: int = 30
    seed: int = 0
    split: Literal["train", "val"] = "val"
    changes: Annotated[EnvironmentChanges, tyro.conf.arg(name="")] = field(
        default_factory=EnvironmentChanges
    )
    import_: Import = None
    output: Path | None = None
    video: Path | None = None

    def __call__(self) -> int:
        """Runs the evaluation."""
        from rich.console import Console
        from tqdm import tqdm

        from core_repr import zoo
        from core_repr.agent import CoReSAC
        from core_repr.evaluation import (
            evaluate,
            make_environment,
            record_episode,
        )
        from core_repr.evaluation.recording import check_renders

        self._check_files()
        use_one_thread()
        import_module(self.import_)
        source = zoo.find(self.model)
        agent = CoReSAC.from_pretrained(source, device="cpu")
        environment = agent.environment_config
        changes = self.changes.apply(environment, self.split, source)
        rendering = {} if self.video is None else {"render_mode": "rgb_array"}
        env = make_environment(environment, **rendering, **changes)
        if self.video is not None:
            check_renders(env)
        agent.set_env(env)
        with tqdm(total=self.episodes, unit="episode") as bar:
            result = evaluate(
                agent, env, self.episodes, self.seed, progress=lambda *_: bar.update()
            )
        console = Console()
        arguments = {**environment.arguments, **changes}
        if self.output is not None:
            outcome = {
                "model": redact(self.model),
                "environment": {"id": environment.id, "arguments": encode(arguments)},
                "deterministic": True,
                **result.to_dict(),
            }
            self.output.write_text(json.dumps(outcome, indent=2) + "\n")
        console.print(f"{environment.id} with {arguments}", soft_wrap=True, markup=False)
        console.print(self._sentence(result), soft_wrap=True)
        if self.video is not None:
            video = record_episode(agent, env, self.video, self.seed)
            console.print(f"video: {video}", soft_wrap=True, markup=False)
        env.close()
        return 0

    def _check_files(self) -> None:
        """Before the episodes, not after them."""
        from core_repr.evaluation.video import check_place
        from core_repr.files.places import check_file

        if self.video is not None:
            check_place(self.video)
        if self.output is not None:
            check_file(self.output)

    def _sentence(self, result: Evaluation) -> str:
        if self.episodes == 1:
            return f"return {result.mean:.1f} (1 episode, seed {self.seed}, deterministic policy)"
        return (
            f"return {result.mean:.1f} ± {result.standard_error:.1f} "
            f"(mean ± standard error, {self.episodes} episodes, "
            f"seeds {self.seed} to {self.seed + self.episodes - 1}, deterministic policy)"
        )
