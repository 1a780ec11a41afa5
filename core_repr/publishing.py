"""From a training run to a folder that is ready for the Hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym

from core_repr.agent import SequenceAlgorithm, load_agent
from core_repr.config import EnvironmentConfig
from core_repr.environments import (
    changed,
    known_arguments,
    make_environment,
    recorded_argument,
    split_arguments,
    to_json,
)
from core_repr.evaluation import (
    Foresight,
    conditions,
    evaluate,
    learning_curve,
    record_episode,
    robustness,
)
from core_repr.evaluation.pictures import see, strip
from core_repr.evaluation.plots import save_figure
from core_repr.evaluation.robustness import CLEAN
from core_repr.files.json_files import read_json, write_outcome
from core_repr.files.names import (
    AGENT_FILE,
    CARD_FILE,
    EVALUATION_FILE,
    EVALUATIONS_FILE,
    LEARNING_CURVE_FILE,
    MAX_RECORD_BYTES,
    MODEL_FOLDER,
    PICTURE_FILE,
    PROBES_FILE,
    PROGRESS_FILE,
    REPLAY_FILE,
    ROBUSTNESS_FILE,
    ROBUSTNESS_PICTURE_FILE,
    SEEDS_FILE,
    SETTINGS_FILE,
)
from core_repr.files.reading import read_bounded
from core_repr.files.strict_json import parse_last_line
from core_repr.files.writing import write_atomically
from core_repr.hub.card import make_card
from core_repr.world_model import CoReWorldModel
from core_repr.zoo.summary import Summary, origin_name, summarize

REPLAY_SHRINK = 2
"""Of the suite's 640×480 pixels; a replay in full is as large as the weights."""


Progress = Callable[[str, int], Callable[[], object]]
"""Called with what begins, such as "episode", and how many; what it returns is called after each.
"""


def prepare(
    run: Path,
    name: str,
    folder: Path,
    episodes: int = 30,
    seed: int = 0,
    *,
    others: Sequence[Path] = (),
    levels: bool = True,
    picture: bool = True,
    progress: Progress = lambda what, count: lambda: None,
) -> Summary:
    """Fills a folder with a model, its agent, its records, pictures of it and its card.

    What lies in the run already under the name of such a file is taken as it is.

    Args:
        run: A training run's folder, or a model folder.
        name: What the card calls the model: the repository that it is for.
        folder: An empty folder.
        episodes: Episodes to evaluate the agent for; with 0, the last evaluation of the training
            is taken, and nothing else is evaluated, filmed or drawn.
        seed: Episode i is seeded with seed + i.
        others: Runs of the same training with other seeds. The card tells how they did, too.
        levels: Whether to evaluate the agent at the other levels of the distractions, and without
            any.
        picture: Whether to draw what the model sees and imagines.
        progress: What to call as the work goes on.

    Returns:
        What the card tells.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If a file of it is broken, or another run is of another training.
    """
    model = _model_folder(run)
    # Loading and saving checks everything, and leaves out what is not a part of a model.
    if (model / AGENT_FILE).exists():
        agent: SequenceAlgorithm | None = load_agent(model, device="cpu")
        assert agent is not None
        agent.save_pretrained(folder)
    else:
        agent = None
        CoReWorldModel.from_pretrained(model).save_pretrained(folder)
    schedule = _schedule(model, run)
    trainings = [_Training(path, agent, schedule) for path in others]
    _check_seeds(run, schedule, trainings)
    _copy_records(run, model, folder)
    _draw_curve(folder, trainings)
    if agent is not None and episodes > 0:
        # As trained: the agent's own changes with each environment that it is tried in.
        trained_in = agent.environment_config
        validation = split_arguments(trained_in, "val", model)
        _evaluate(agent, trained_in, name, folder, validation, episodes, seed, progress)
        if levels and not (folder / ROBUSTNESS_FILE).exists():
            _try_levels(agent, trained_in, name, folder, validation, episodes, seed, progress)
        if trainings:
            _evaluate_others(trainings, folder, validation, episodes, seed, progress)
        if picture and not (folder / PICTURE_FILE).exists():
            _draw_what_it_sees(agent, trained_in, folder, model, seed, progress)
    summary = summarize(name, folder)
    write_atomically(folder / CARD_FILE, str(make_card(summary.config, summary.facts)).encode())
    return summarize(name, folder)


def best_of(runs: Path) -> tuple[Path, list[Path]]:
    """Returns the best of the runs that trainings with several seeds left, and the others.

    The best is that with the highest return at the end of its training.

    Args:
        runs: A folder with a run for each seed, or a single run, which has no others.
    """
    found = sorted(path.parent for path in runs.glob(f"seed-*/{MODEL_FOLDER}"))
    if (runs / MODEL_FOLDER).is_dir() or not found:
        return runs, []
    best = max(found, key=_last_return)
    return best, [path for path in found if path != best]


def _last_return(run: Path) -> float:
    record = _last_evaluation(run, _model_folder(run))
    # Of returns that are not finite, there is no mean.
    mean = None if record is None else record["mean"]
    return float("-inf") if mean is None else float(mean)


def _model_folder(run: Path) -> Path:
    return run / MODEL_FOLDER if (run / MODEL_FOLDER).is_dir() else run


def _found(file: str, *places: Path) -> Path | None:
    return next((place / file for place in places if (place / file).exists()), None)


def _last_evaluation(*places: Path) -> dict[str, Any] | None:
    """The last one of a training, with ``env_steps`` and ``mean``."""
    path = _found(EVALUATIONS_FILE, *places)
    if path is None:
        return None
    try:
        record = parse_last_line(read_bounded(path, MAX_RECORD_BYTES))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}; it was damaged.") from None
    fits = isinstance(record, dict) and {"env_steps", "mean"} <= record.keys()
    return record if fits else None


class _Training:
    """A training that differs from another one in its seed alone.

    Args:
        run: Its folder.
        agent: The other one's.
        of_agent: The other one's schedule, as far as it is recorded.

    Attributes:
        run: Its folder.
        seed: Its seed; ``None`` where it is not recorded.

    Raises:
        FileNotFoundError: If there is no agent.
        ValueError: If it differs in more.
    """

    def __init__(
        self, run: Path, agent: SequenceAlgorithm | None, of_agent: Mapping[str, Any]
    ) -> None:
        self.run = run
        model = _model_folder(run)
        self.agent = load_agent(model, device="cpu")
        schedule = _schedule(model, run)
        same_episodes = schedule.get("episode_steps") == of_agent.get("episode_steps")
        if agent is None or self.agent.config != agent.config or not same_episodes:
            raise ValueError(
                f"{run} is not another seed of the same training: its settings differ from those "
                "of the model."
            )
        record = _last_evaluation(model, run)
        self.seed = schedule.get("seed")
        self.env_steps = None if record is None else record["env_steps"]
        self.progress = _found(PROGRESS_FILE, model, run)

    @property
    def label(self) -> str:
        """What a figure calls it."""
        return "another seed" if self.seed is None else f"seed {self.seed}"


def _check_seeds(run: Path, schedule: Mapping[str, Any], others: Sequence[_Training]) -> None:
    """Sees that no two trainings have the same seed, as far as their seeds are recorded."""
    owners = {schedule.get("seed"): run}
    for other in others:
        if other.seed is None:
            continue
        if other.seed in owners:
            raise ValueError(
                f"{other.run} is not another seed: {other.seed} is that of {owners[other.seed]} "
                "already."
            )
        owners[other.seed] = other.run


def _schedule(*places: Path) -> dict[str, Any]:
    """How long a training was and how it was seeded, where that is recorded."""
    settings = _found(SETTINGS_FILE, *places)
    recorded = {} if settings is None else read_json(settings, MAX_RECORD_BYTES)
    schedule: dict[str, Any] = recorded.get("schedule", {})
    return schedule


def _copy_records(run: Path, model: Path, folder: Path) -> None:
    """Copies what tells about a training; of paths on this machine, only the names."""
    copied = (
        *(PROGRESS_FILE, EVALUATIONS_FILE, EVALUATION_FILE, REPLAY_FILE),
        *(PICTURE_FILE, ROBUSTNESS_PICTURE_FILE),
    )
    for file in copied:
        path = _found(file, model, run)
        if path is not None:
            _copy(path, folder)
    path = _found(SETTINGS_FILE, run, model)
    if path is not None:
        settings = read_json(path, MAX_RECORD_BYTES)
        origin = settings.get("continued_from")
        if origin is not None:
            name = origin_name(origin)
            settings["continued_from"] = {**origin, "model": name}
        write_outcome(folder / SETTINGS_FILE, settings)
    path = _found(ROBUSTNESS_FILE, model, run)
    if path is not None:
        outcome = read_json(path, MAX_RECORD_BYTES)
        tried = outcome.get("conditions")
        for condition in tried if isinstance(tried, list) else ():
            if isinstance(condition, dict):
                condition.pop("changes", None)
        write_outcome(folder / ROBUSTNESS_FILE, {**outcome, "model": folder.name})
    path = _found(PROBES_FILE, model, run)
    if path is not None:
        outcome = read_json(path, MAX_RECORD_BYTES)
        write_outcome(folder / PROBES_FILE, {**outcome, "model": folder.name})


def _draw_curve(folder: Path, others: Sequence[_Training]) -> None:
    """Draws the return over the training, and over those with other seeds."""
    own = folder / PROGRESS_FILE
    if own.exists():
        curves = {each.label: each.progress for each in others if each.progress is not None}
        learning_curve({folder.name: own, **curves}, folder / LEARNING_CURVE_FILE)


def _after(finished: Callable[[], object]) -> Callable[..., None]:
    """What an evaluation calls after each episode, with what it tells left out."""

    def after(*_: object) -> None:
        finished()

    return after


def _copy(file: Path, folder: Path) -> None:
    """Copies a file, but not through a link that leads elsewhere: it would be published."""
    content = read_bounded(file, MAX_RECORD_BYTES)
    write_atomically(folder / file.name, content)


def _evaluate(
    agent: SequenceAlgorithm,
    environment: EnvironmentConfig,
    name: str,
    folder: Path,
    changes: dict[str, Any],
    episodes: int,
    seed: int,
    progress: Progress,
) -> None:
    """Evaluates and films the agent where arguments choose backgrounds that it has not seen."""
    with closing(make_environment(environment, render_mode="rgb_array", **changes)) as env:
        agent.set_env(env)
        if not (folder / EVALUATION_FILE).exists():
            foresight = Foresight(agent, env)
            finished = progress("episode", episodes)
            result = evaluate(foresight, foresight, episodes, seed, progress=_after(finished))
            outcome = {
                "model": name,
                "environment": to_json(changed(environment, changes)),
                "deterministic": True,
                **foresight.to_dict(result),
            }
            write_outcome(folder / EVALUATION_FILE, outcome)
        if not (folder / REPLAY_FILE).exists():
            record_episode(agent, env, folder / REPLAY_FILE, seed, shrink=REPLAY_SHRINK)


def _try_levels(
    agent: SequenceAlgorithm,
    environment: EnvironmentConfig,
    name: str,
    folder: Path,
    validation: dict[str, Any],
    episodes: int,
    seed: int,
    progress: Progress,
) -> None:
    """Evaluates the agent without distractions and at the levels that it was not trained at."""
    known = known_arguments(environment)
    if "difficulty" not in known:
        return
    trained = {argument: recorded_argument(environment, argument) for argument in known}
    tried = [
        condition
        for condition in conditions(trained, known)
        if condition.name == CLEAN
        or (condition.group == "level" and condition.name != trained["difficulty"])
    ]

    def make(**changes: Any) -> gym.Env[Any, Any]:
        env = make_environment(environment, **{**validation, **changes})
        agent.set_env(env)
        return env

    finished = progress("episode", episodes * len(tried))
    report = robustness(agent, make, tried, episodes, seed, progress=_after(finished))
    outcome = {"model": name, "environment": environment.id, **report.to_dict()}
    write_outcome(folder / ROBUSTNESS_FILE, outcome)


def _evaluate_others(
    trainings: Sequence[_Training],
    folder: Path,
    validation: dict[str, Any],
    episodes: int,
    seed: int,
    progress: Progress,
) -> None:
    """Evaluates the agents of trainings with other seeds as the model's own."""
    finished = progress("episode", episodes * len(trainings))
    found = []
    for training in trainings:
        agent = training.agent
        with closing(make_environment(agent.environment_config, **validation)) as env:
            agent.set_env(env)
            result = evaluate(agent, env, episodes, seed, progress=_after(finished))
        steps = {"seed": training.seed, "env_steps": training.env_steps}
        found.append({"training": steps, **result.to_dict()})
    write_outcome(folder / SEEDS_FILE, {"trainings": found})


def _draw_what_it_sees(
    agent: SequenceAlgorithm,
    environment: EnvironmentConfig,
    folder: Path,
    model: Path,
    seed: int,
    progress: Progress,
) -> None:
    clean = {"clean_frames": True} if "clean_frames" in known_arguments(environment) else {}
    train, val = (
        make_environment(environment, **clean, **split_arguments(environment, split, model))
        for split in ("train", "val")
    )
    with closing(train), closing(val):
        (shown,) = see(agent, train, val, seed=seed, progress=progress)
    save_figure(strip(shown), folder / PICTURE_FILE, dpi=100)
