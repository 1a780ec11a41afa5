"""Runs a grid on Ray: a process for each training, on this machine or on a cluster."""

from __future__ import annotations

import importlib
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core_repr.campaign.grid import Cell, Grid, with_options
from core_repr.campaign.results import CURVES_FILE, RESULTS_FILE
from core_repr.config import CoReConfig, EnvironmentConfig, FeedForwardSACConfig
from core_repr.evaluation.episodes import Evaluation
from core_repr.evaluation.results import (
    Training,
    append,
    check_table,
    cut_torn_row,
    discard,
    read_table,
)
from core_repr.files.json_files import read_json, write_json
from core_repr.files.names import (
    EVALUATIONS_FILE,
    MANIFEST_FILE,
    MODEL_FOLDER,
    SETTINGS_FILE,
)
from core_repr.files.places import user_path
from core_repr.files.strict_json import parse_json
from core_repr.files.writing import in_a_sentence
from core_repr.training.settings import RunSettings

RUNS_FOLDER = "runs"
POLICIES_FOLDER, PAIRS_FOLDER = "policies", "pairs"
"""For trainings that learn from pairs of episodes: who plays them, and where they are."""

EVALUATION_FILE = "evaluation-{}.json"
"""With the environment steps that the model had."""

CONNECT_SECONDS = 5.0


Row = tuple[Training, EnvironmentConfig, Evaluation]
"""What a row of a table needs."""


@dataclass(frozen=True)
class Outcome:
    """What became of a training.

    Attributes:
        cell: The training.
        evaluation: Of the finished training; ``None`` where it failed.
        error: What it failed with, in one line.
    """

    cell: Cell
    evaluation: Evaluation | None = None
    error: str = ""


def run_campaign(
    grid: Grid,
    folder: str | Path,
    *,
    address: str | None = None,
    processes: int | None = None,
    cores: float = 1,
    gpus: float = 0,
    attempts: int = 3,
    module: str | None = None,
    report: Callable[[Outcome, int, int], object] = lambda outcome, done, total: None,
) -> list[Outcome]:
    """Trains and evaluates every cell of a grid that is not done yet.

    Each training is a run in ``runs/<cell>`` of the folder, which resumes from its checkpoint when
    it was stopped, its machine was lost or it failed; each finished one is evaluated and appends a
    row to ``results.csv``, and its learning curve to ``curves.csv``. What has a row is not done
    again, so a campaign that was stopped continues when it is started again; with more environment
    steps, its trainings go on; with another number of episodes, the finished ones are evaluated
    again, and have another row in place of the former one.

    A training of the variant pse needs pairs of episodes of a good agent: it first trains one,
    the same without pairs, in ``policies/<cell>``, which records them into ``pairs/<cell>``.

    Args:
        grid: The trainings.
        folder: Made if needed; on a cluster, all machines must see it under this path.
        address: Of a running Ray cluster, ``"auto"`` or ``"host:port"``; ``None`` for this machine.
        processes: At once on this machine; as many as cores by default.
        cores: Of a training.
        gpus: Of a training; a fraction lets several share one.
        attempts: How often a training is tried.
        module: To import first in every process, which registers environments of one's own.
        report: Called with each outcome, the number of those that are finished, and of all. A
            failed one may be tried again.

    Returns:
        The outcome of every cell that was not done before, the last one of each.

    Raises:
        ModuleNotFoundError: If Ray is missing.
        ConnectionError: If there is no cluster at the address.
        ValueError: If a cell cannot be trained, its run was started with other settings, or a
            table cannot be read.
        FileExistsError: If a file is in the place of the folder.
        OSError: If the folder cannot be written to.
    """
    folder = user_path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(
            f"{folder} is a file, where a campaign needs a folder; choose another with --folder, "
            "or move it away."
        )
    cells = grid.cells()
    table = folder / RESULTS_FILE
    if folder.is_dir():
        for each in (table, folder / CURVES_FILE):
            check_table(each)
            cut_torn_row(each)
    for cell in cells:
        _check_pairs(cell, folder)
        _check_run(cell, folder / RUNS_FOLDER / cell.name)
    done = _done(table)
    remaining = [c for c in cells if done.get((c.name, grid.env_steps)) != c.episodes]
    _check(remaining)
    if not remaining:
        return []
    ray = _import_ray()
    _connect(ray, address, processes)
    # A lost process is tried again here, where it can be named and counted.
    start = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(train_cell)
    device, threads = "cuda" if gpus else "cpu", max(1, int(cores))
    tries = dict.fromkeys((cell.name for cell in remaining), 1)
    outcomes: dict[str, Outcome] = {}
    finished = len(cells) - len(remaining)
    try:
        with in_a_sentence(folder):
            folder.mkdir(parents=True, exist_ok=True)
        running = {start.remote(cell, folder, device, threads, module): cell for cell in remaining}
        while running:
            (ready, *_), _ = ray.wait([*running])
            cell = running.pop(ready)
            try:
                row, curve = ray.get(ready)
            except ray.exceptions.RayError as error:
                outcome = Outcome(cell, error=_in_one_line(error))
                if tries[cell.name] < attempts:
                    tries[cell.name] += 1
                    running[start.remote(cell, folder, device, threads, module)] = cell
            else:
                _append_curve(folder / CURVES_FILE, curve)
                discard(table, row[0])
                append(table, *row)
                outcome = Outcome(cell, row[-1])
                finished += 1
            outcomes[cell.name] = outcome
            report(outcome, finished, len(cells))
    finally:
        ray.shutdown()
    return list(outcomes.values())


def train_cell(
    cell: Cell, folder: Path, device: str, threads: int = 1, module: str | None = None
) -> tuple[Row, list[Row]]:
    """Trains a cell, or resumes its training, and evaluates it; what is done is not done again.

    Args:
        cell: The training.
        folder: Of the campaign.
        device: Where the networks are.
        threads: Of torch.
        module: To import first.

    Returns:
        The row of its result, and those of its learning curve.
    """
    import torch

    if module is not None:
        importlib.import_module(module)
    torch.set_num_threads(threads)
    run = folder / RUNS_FOLDER / cell.name
    _train(_with_pairs(cell, folder, device), run, device)
    row = _evaluated(cell, run, device)
    return row, _curve(row, run)


def _train(settings: RunSettings, run: Path, device: str) -> None:
    from core_repr import training

    if not (run / SETTINGS_FILE).exists():
        training.train(settings.environment, settings.config, run, settings.schedule, device)
    elif not _is_finished(run, settings.schedule.env_steps):
        training.resume(run, settings.schedule.env_steps, device)


def _with_pairs(cell: Cell, folder: Path, device: str) -> RunSettings:
    """Returns the settings of a training, for which pairs are recorded if it needs some."""
    settings, agent = cell.settings, cell.settings.config.agent
    if not _lacks_pairs(settings.config):
        return settings
    from core_repr.agent import load_agent
    from core_repr.environments import make_environment
    from core_repr.evaluation.pairs import record_pairs

    assert isinstance(agent, FeedForwardSACConfig) and agent.similarity is not None
    pairs = folder / PAIRS_FOLDER / cell.name
    if not pairs.is_dir():
        policy = folder / POLICIES_FOLDER / cell.name
        alone = settings.config.replace(agent=replace(agent, similarity=None))
        _train(replace(settings, config=alone), policy, device)
        player = load_agent(policy / MODEL_FOLDER, device=device)
        env = make_environment(player.environment_config)
        try:
            player.set_env(env)
            record_pairs(player, env, pairs, cell.pairs)
        finally:
            env.close()
    similarity = replace(agent.similarity, pairs=str(pairs))
    config = settings.config.replace(agent=replace(agent, similarity=similarity))
    return replace(settings, config=config)


def _lacks_pairs(config: CoReConfig) -> bool:
    agent = config.agent
    if not isinstance(agent, FeedForwardSACConfig) or agent.similarity is None:
        return False
    return not agent.similarity.pairs


def _curve(row: Row, run: Path) -> list[Row]:
    training, environment, _ = row
    rows: list[Row] = []
    for line in (run / EVALUATIONS_FILE).read_bytes().splitlines():
        known = parse_json(line)
        evaluation = Evaluation(*(tuple(known[name]) for name in ("returns", "lengths", "seeds")))
        steps = int(known["env_steps"])
        rows.append((replace(training, env_steps=steps), environment, evaluation))
    return rows


def _append_curve(table: Path, rows: Sequence[Row]) -> None:
    known = _done(table)
    for row in rows:
        if (row[0].model, row[0].env_steps) not in known:
            append(table, *row)


def _evaluated(cell: Cell, run: Path, device: str) -> Row:
    from core_repr.agent import load_agent
    from core_repr.environments import changed, make_environment
    from core_repr.evaluation import evaluate

    agent = load_agent(run / MODEL_FOLDER, device=device)
    changes = cell.settings.environment.validation
    schedule = cell.settings.schedule
    evaluation = _kept(run, schedule.env_steps)
    if evaluation is None or len(evaluation.returns) != cell.episodes:
        env = make_environment(agent.environment_config, **changes)
        try:
            agent.set_env(env)
            evaluation = evaluate(agent, env, cell.episodes, seed=0)
        finally:
            env.close()
        write_json(run / EVALUATION_FILE.format(schedule.env_steps), evaluation.to_dict())
    settings = read_json(run / SETTINGS_FILE)
    training = Training(
        cell.name, cell.system, schedule.env_steps, schedule.seed, settings.get("commit")
    )
    return training, changed(agent.environment_config, changes), evaluation


def _kept(run: Path, env_steps: int) -> Evaluation | None:
    """Returns the evaluation of a run after so many steps; ``None`` where there is none."""
    kept = run / EVALUATION_FILE.format(env_steps)
    if not kept.exists():
        return None
    known = read_json(kept)
    try:
        return Evaluation(*(tuple(known[name]) for name in ("returns", "lengths", "seeds")))
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{kept} is not an evaluation; move it away, and it is made again."
        ) from None


def _is_finished(run: Path, env_steps: int) -> bool:
    from core_repr.training.origin import newest_checkpoint
    from core_repr.training.run_state import RunState

    checkpoint = newest_checkpoint(run)
    if checkpoint is None:
        return False
    state = RunState.read(checkpoint)
    return state.finished and state.env_steps >= env_steps


def _check_pairs(cell: Cell, folder: Path) -> None:
    """Refuses to learn from other pairs than the grid's, or to mix results of such."""
    manifest = folder / PAIRS_FOLDER / cell.name / MANIFEST_FILE
    if not (_lacks_pairs(cell.settings.config) and manifest.exists()):
        return
    try:
        segments = read_json(manifest)["segments"]
        known = sum(len(segment["episodes"]) for segment in segments) // 2
    except (OSError, ValueError, KeyError, TypeError):
        return  # The training itself says what is wrong with them, and the others go on.
    if known != cell.pairs:
        raise ValueError(
            f"{manifest.parent} holds {known:,} pairs of episodes, not the grid's {cell.pairs:,}; "
            "choose another folder for the campaign, or move it away, and the run that learned "
            "from them."
        )


def _check_run(cell: Cell, run: Path) -> None:
    """Refuses to mix a grid's results with those of another one."""
    if not (run / SETTINGS_FILE).exists():
        return
    wanted = cell.settings.schedule.env_steps
    try:
        known, kept = RunSettings.read(run), _kept(run, wanted)
    except (OSError, ValueError):
        return  # The training itself says what is wrong with it, and the others go on.
    if known.schedule.env_steps > wanted:
        if kept is None:
            raise ValueError(
                f"{run} holds a training of {known.schedule.env_steps:,} environment steps, more "
                f"than the grid's {wanted:,}; choose another folder for the campaign, or move it "
                "away."
            )
        if len(kept.returns) != cell.episodes:
            raise ValueError(
                f"{run} holds a training that went on to {known.schedule.env_steps:,} environment "
                f"steps, so it is not evaluated again after {wanted:,}: expected "
                f"{len(kept.returns)} episodes as then, not {cell.episodes}; set episodes to that, "
                "or choose another folder for the campaign."
            )
    schedule = replace(known.schedule, env_steps=wanted)
    # What the run records of its environment is what it was made of.
    config = known.config.replace(environment=None)
    if _lacks_pairs(cell.settings.config):
        config = with_options(config, {"agent.similarity.pairs": ""})
    if RunSettings(known.environment, config, schedule) != cell.settings:
        raise ValueError(
            f"{run} holds a training with other settings than the grid's; choose another folder "
            "for the campaign, or move it away."
        )


def _done(table: Path) -> dict[tuple[str, int], int]:
    """Returns name and environment steps of the trainings that have a row → its episodes.

    Raises:
        ValueError: If a line is not a row; the message names it.
    """
    known: dict[tuple[str, int], int] = {}
    if not table.exists() or not table.stat().st_size:
        return known
    for number, row in read_table(table):
        try:
            known[row["model"], int(row["env_steps"] or 0)] = int(row["episodes"])
        except ValueError:
            raise ValueError(
                f"{table}, line {number}, is not a row of a campaign: expected whole numbers of "
                "env_steps and episodes; remove the line, and its result is made again."
            ) from None
    return known


def _check(cells: Sequence[Cell]) -> None:
    """Refuses what cannot be trained, before anything is: each environment is made once."""
    seen = set()
    for cell in cells:
        config = json.loads(cell.settings.config.to_json())
        key = (cell.environment, cell.setting, cell.system, json.dumps(config, sort_keys=True))
        if key not in seen:
            seen.add(key)
            cell.check()


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'A campaign runs on Ray: pip install "core-repr[campaign]".', name="ray"
        ) from None
    return ray


def _connect(ray: Any, address: str | None, processes: int | None) -> None:
    if address is None:
        ray.init(num_cpus=processes, log_to_driver=False, logging_level="error")
        return
    absent = (
        f"There is no Ray cluster at {address!r}: start one with `ray start --head`, or leave the "
        "address out to use this machine alone."
    )
    host, separator, port = address.rpartition(":")
    if separator and "/" not in address:
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except (OSError, ValueError, OverflowError):
            raise ConnectionError(absent) from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError):
        raise ConnectionError(absent) from None


def _in_one_line(error: BaseException) -> str:
    cause = getattr(error, "cause", None) or error
    text = " ".join(str(cause).split())
    return f"{type(cause).__name__}: {text[:300]}"
