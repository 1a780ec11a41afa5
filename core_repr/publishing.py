"""From a training run to a folder that is ready for the Hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core_repr.agent import SequenceAlgorithm, load_agent
from core_repr.environments import changed, make_environment, split_arguments, to_json
from core_repr.evaluation import Foresight, evaluate, learning_curve, record_episode
from core_repr.files.json_files import read_json
from core_repr.files.names import (
    AGENT_FILE,
    CARD_FILE,
    EVALUATION_FILE,
    EVALUATIONS_FILE,
    LEARNING_CURVE_FILE,
    MAX_RECORD_BYTES,
    MODEL_FOLDER,
    PROGRESS_FILE,
    REPLAY_FILE,
    SETTINGS_FILE,
)
from core_repr.files.reading import read_bounded
from core_repr.files.writing import write_atomically
from core_repr.hub.card import make_card
from core_repr.world_model import CoReWorldModel
from core_repr.zoo.summary import Summary, origin_name, summarize

REPLAY_SHRINK = 2
"""Of the suite's 640×480 pixels; a replay in full is as large as the weights."""


def prepare(
    run: Path,
    name: str,
    folder: Path,
    episodes: int = 30,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> Summary:
    """Fills a folder with a model, its agent, its records, pictures of it and its card.

    Args:
        run: A training run's folder, or a model folder.
        name: What the card calls the model: the repository that it is for.
        folder: An empty folder.
        episodes: Episodes to evaluate the agent for; with 0, the last evaluation of the training
            is taken, and no replay is filmed. A model folder that holds its evaluation keeps it.
        seed: Episode i is seeded with seed + i.
        progress: Called after each episode with the number of finished episodes and its return.

    Returns:
        What the card tells.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If a file of it is broken.
    """
    model = run / MODEL_FOLDER if (run / MODEL_FOLDER).is_dir() else run
    # Loading and saving checks everything, and leaves out what is not a part of a model.
    if (model / AGENT_FILE).exists():
        agent: SequenceAlgorithm | None = load_agent(model, device="cpu")
        assert agent is not None
        agent.save_pretrained(folder)
    else:
        agent = None
        CoReWorldModel.from_pretrained(model).save_pretrained(folder)
    _copy_records(run, model, folder)
    if agent is not None:
        for file in (EVALUATION_FILE, REPLAY_FILE):
            if (model / file).exists():
                _copy(model / file, folder)
        if episodes > 0:
            validation = split_arguments(agent.environment_config, "val", model)
            _evaluate(agent, name, folder, validation, episodes, seed, progress)
    summary = summarize(name, folder)
    write_atomically(folder / CARD_FILE, str(make_card(summary.config, summary.facts)).encode())
    return summarize(name, folder)


def _copy_records(run: Path, model: Path, folder: Path) -> None:
    """Copies what the training wrote about itself; of paths on this machine, only the names."""
    for file in (PROGRESS_FILE, EVALUATIONS_FILE):
        for place in (model, run):
            if (place / file).exists():
                _copy(place / file, folder)
    for place in (model, run):
        if (place / SETTINGS_FILE).exists():
            settings = read_json(place / SETTINGS_FILE, MAX_RECORD_BYTES)
            origin = settings.get("continued_from")
            if origin is not None:
                name = origin_name(origin)
                settings["continued_from"] = {**origin, "model": name}
            text = json.dumps(settings, indent=2) + "\n"
            write_atomically(folder / SETTINGS_FILE, text.encode())
    if (folder / PROGRESS_FILE).exists():
        learning_curve({folder.name: folder / PROGRESS_FILE}, folder / LEARNING_CURVE_FILE)


def _copy(file: Path, folder: Path) -> None:
    """Copies a file, but not through a link that leads elsewhere: it would be published."""
    content = read_bounded(file, MAX_RECORD_BYTES)
    write_atomically(folder / file.name, content)


def _evaluate(
    agent: SequenceAlgorithm,
    name: str,
    folder: Path,
    changes: dict[str, Any],
    episodes: int,
    seed: int,
    progress: Callable[[int, float], None] | None,
) -> None:
    """Evaluates and films the agent where arguments choose backgrounds that it has not seen."""
    environment = agent.environment_config
    env = make_environment(environment, render_mode="rgb_array", **changes)
    try:
        agent.set_env(env)
        if not (folder / EVALUATION_FILE).exists():
            foresight = Foresight(agent, env)
            result = evaluate(foresight, foresight, episodes, seed, progress=progress)
            outcome = {
                "model": name,
                "environment": to_json(changed(environment, changes)),
                "deterministic": True,
                **foresight.to_dict(result),
            }
            text = json.dumps(outcome, indent=2) + "\n"
            write_atomically(folder / EVALUATION_FILE, text.encode())
        if not (folder / REPLAY_FILE).exists():
            record_episode(agent, env, folder / REPLAY_FILE, seed, shrink=REPLAY_SHRINK)
    finally:
        env.close()
