"""``core-repr evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from core_repr.commands.environment import EnvironmentChanges, Import, import_module
from core_repr.commands.numbers import at_least
from core_repr.commands.threads import use_one_thread
from core_repr.files.secrets import redact

if TYPE_CHECKING:
    from core_repr.config import CoReConfig
    from core_repr.evaluation import Evaluation
    from core_repr.evaluation.results import Training


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
        results: CSV file to append a row to: what was trained, what it was evaluated in, mean and
            standard error.
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
    results: Path | None = None
    video: Path | None = None

    def __call__(self) -> int:
        """Runs the evaluation."""
        from rich.console import Console
        from tqdm import tqdm

        from core_repr import zoo
        from core_repr.agent import load_agent
        from core_repr.environments import changed, make_environment, to_json, written
        from core_repr.evaluation import Foresight, evaluate, record_episode, results
        from core_repr.evaluation.recording import check_renders
        from core_repr.files.json_files import write_outcome

        at_least(1, episodes=self.episodes)
        at_least(0, seed=self.seed)
        self._check_files()
        use_one_thread()
        import_module(self.import_)
        source = zoo.find(self.model)
        agent = load_agent(source, device="cpu")
        environment = agent.environment_config
        changes = self.changes.apply(environment, self.split, source)
        rendering = {} if self.video is None else {"render_mode": "rgb_array"}
        env = make_environment(environment, **rendering, **changes)
        if self.video is not None:
            check_renders(env)
        agent.set_env(env)
        with tqdm(total=self.episodes, unit="episode") as bar:
            foresight = Foresight(agent, env)
            result = evaluate(
                foresight, foresight, self.episodes, self.seed, progress=lambda *_: bar.update()
            )
        console = Console()
        evaluated = changed(environment, changes)
        if self.output is not None:
            outcome = {
                "model": redact(self.model),
                "environment": to_json(evaluated),
                "deterministic": True,
                **foresight.to_dict(result),
            }
            write_outcome(self.output, outcome)
        if self.results is not None:
            results.append(self.results, self._training(source, agent.config), evaluated, result)
        console.print(written(evaluated), soft_wrap=True, markup=False)
        console.print(self._sentence(result), soft_wrap=True)
        known = {h: score for h, score in foresight.r2().items() if score is not None}
        if known:
            scores = ", ".join(f"{score:.2f} at {horizon}" for horizon, score in known.items())
            console.print(f"R² of imagined rewards, by agent steps ahead: {scores}", soft_wrap=True)
        if self.video is not None:
            video = record_episode(agent, env, self.video, self.seed)
            console.print(f"video: {video}", soft_wrap=True, markup=False)
        env.close()
        return 0

    def _check_files(self) -> None:
        """Before the episodes, not after them."""
        from core_repr.evaluation.results import check_table
        from core_repr.evaluation.video import check_place
        from core_repr.files.places import check_file

        if self.video is not None:
            check_place(self.video)
        if self.output is not None:
            check_file(self.output)
        if self.results is not None:
            check_table(self.results)

    def _training(self, source: Path, config: CoReConfig) -> Training:
        """What the files beside a model, or those of its run, tell of the training."""
        from core_repr.config import variant_of
        from core_repr.evaluation.results import Training
        from core_repr.files.names import MAX_RECORD_BYTES, SETTINGS_FILE
        from core_repr.files.reading import read_bounded
        from core_repr.files.strict_json import parse_json
        from core_repr.training import Origin

        folder = next((f for f in (source, source.parent) if (f / SETTINGS_FILE).is_file()), None)
        assert config.environment is not None
        steps = Origin.find(source).agent_steps * config.environment.action_repeat
        settings = {}
        if folder is not None:
            settings = parse_json(read_bounded(folder / SETTINGS_FILE, MAX_RECORD_BYTES))
        name = Path(self.model).name
        if folder is not None and name == "model":
            name = folder.name
        return Training(
            redact(name),
            variant_of(config),
            steps or None,
            settings.get("schedule", {}).get("seed"),
            settings.get("commit"),
        )

    def _sentence(self, result: Evaluation) -> str:
        if self.episodes == 1:
            return f"return {result.mean:.1f} (1 episode, seed {self.seed}, deterministic policy)"
        return (
            f"return {result.mean:.1f} ± {result.standard_error:.1f} "
            f"(mean ± standard error, {self.episodes} episodes, "
            f"seeds {self.seed} to {self.seed + self.episodes - 1}, deterministic policy)"
        )
