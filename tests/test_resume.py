from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core_repr.agent import CoReSAC, learning_state
from core_repr.config import CoReConfig, RewardConfig
from core_repr.environments import EnvironmentChoice
from core_repr.evaluation.plots import EVALUATION_RETURN, read_progress
from core_repr.training import Interrupted, Origin, Schedule, callback, resume, train
from core_repr.training.interruption import StopRequest
from core_repr.training.progress import ProgressFile
from core_repr.training.settings import RunSettings
from core_repr.training.training_episodes import TrainingEpisodes, episode_seed

PIXELS = EnvironmentChoice("core-repr-tests/Pixels-v0", {"frame_size": 16}, {"length": 6}, {})
SCHEDULE = Schedule(
    env_steps=300,
    seed=5,
    evaluation_interval=4,
    evaluation_episodes=1,
    log_interval=3,
    checkpoint_minutes=0,
)


@pytest.fixture(autouse=True, scope="module")
def _without_pictures() -> Iterator[None]:
    """They take seconds, and test_training.py looks at one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callback, "training_diagnostics", lambda *_: None)
        yield


CLOCKS = ("seconds", "time/fps", "time/time_elapsed")


def learned(agent: CoReSAC) -> dict[str, torch.Tensor]:
    """Everything that moved while learning."""
    tensors = agent.policy.state_dict() | agent.average.tensors()
    for name, optimizer in vars(agent.optimizers).items():
        for i, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{i}.{key}": value for key, value in state.items()}
    return tensors


def assert_same_end(one: CoReSAC, two: CoReSAC) -> None:
    first, second = learned(one), learned(two)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert one.num_timesteps == two.num_timesteps and one.updates == two.updates
    assert torch.equal(one.policy.generator.get_state(), two.policy.generator.get_state())
    assert one.replay_buffer.rng.bit_generator.state == two.replay_buffer.rng.bit_generator.state
    for episode, other in zip(one.replay_buffer.episodes, two.replay_buffer.episodes, strict=True):
        assert episode.records.tobytes() == other.records.tobytes()


def logs(run: Path) -> list[Any]:
    """Both logs, without what a clock says."""
    with open(run / "progress.csv") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    evaluations = [json.loads(line) for line in (run / "evaluations.jsonl").open()]
    return [
        {name: value for name, value in line.items() if name not in CLOCKS}
        for line in rows + evaluations
    ]


@pytest.fixture(scope="module")
def tiny_config(tiny_config: Callable[..., CoReConfig]) -> Callable[..., CoReConfig]:
    """The tiny config with all that is carried from update to update."""
    return lambda agent={}: tiny_config(
        objectives={"reward": {"normalized": True}},
        agent={"initial_updates": 3, "averaging_rate": 0.1, **agent},
    )


@pytest.fixture(scope="module")
def unbroken(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., CoReConfig]
) -> tuple[Path, CoReSAC]:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    return folder, train(PIXELS, tiny_config(), folder, SCHEDULE, device="cpu")


def newest_path(run: Path) -> Path:
    return max((run / "checkpoints").iterdir())


class Killed(BaseException):
    """Stands for a process that ends at once."""


@pytest.mark.parametrize("at_update", [1, 20])
def test_a_run_that_was_broken_off_ends_as_if_it_never_was(
    unbroken: tuple[Path, CoReSAC],
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_update: int,
) -> None:
    plain = CoReSAC.update

    def update(agent: CoReSAC, batch: Any) -> None:
        plain(agent, batch)
        if agent.updates == at_update:
            raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(CoReSAC, "update", update)
        with pytest.raises(Killed):
            train(PIXELS, tiny_config(), run, SCHEDULE, device="cpu")
    torch.manual_seed(77)
    agent = resume(run, device="cpu")
    assert_same_end(unbroken[1], agent)
    for line, expected in zip(logs(run), logs(unbroken[0]), strict=True):
        assert line == expected


def test_a_run_goes_on_further_than_it_was_to(
    unbroken: tuple[Path, CoReSAC], tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(PIXELS, tiny_config(), run, replace(SCHEDULE, env_steps=150), device="cpu")
    with pytest.raises(ValueError, match=r"has finished, at 168 environment steps.*--env-steps"):
        resume(run, device="cpu")
    assert_same_end(unbroken[1], resume(run, env_steps=300, device="cpu"))
    assert json.loads((run / "settings.json").read_text())["schedule"]["env_steps"] == 300


@pytest.mark.parametrize(("number", "before_the_end"), [(signal.SIGTERM, 25), (signal.SIGINT, 1)])
def test_a_run_that_was_asked_to_stop_saves_first(
    unbroken: tuple[Path, CoReSAC],
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    before_the_end: int,
) -> None:
    plain, last = CoReSAC.update, unbroken[1].updates - before_the_end

    def update(agent: CoReSAC, batch: Any) -> None:
        plain(agent, batch)
        if agent.updates == last:
            os.kill(os.getpid(), number)

    run, handlers = tmp_path / "run", [signal.getsignal(signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr(CoReSAC, "update", update)
        with pytest.raises(Interrupted, match=rf"core-repr train --resume {run}") as stopped:
            train(PIXELS, tiny_config(), run, SCHEDULE, device="cpu")
    assert stopped.value.signal_number == number
    assert [signal.getsignal(signal.SIGTERM)] == handlers
    # Not one update is lost, although an episode's updates were under way.
    values = json.loads((newest_path(run) / "training.json").read_text())
    assert values["updates"] == last and values["updates_due"] >= 1
    assert_same_end(unbroken[1], resume(run, device="cpu"))
    assert logs(run) == logs(unbroken[0])


def test_a_second_signal_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal_number == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("place", ["a checkpoint", "the replay buffer", "the log"])
def test_a_full_disk_leaves_the_last_checkpoint(
    unbroken: tuple[Path, CoReSAC],
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    owner, name, calls = {
        "a checkpoint": (learning_state, "write", 6),
        "the replay buffer": (os, "pwrite", 7),
        "the log": (ProgressFile, "write", 3),
    }[place]
    plain = getattr(owner, name)

    def write(*arguments: Any) -> Any:
        nonlocal calls
        calls -= 1
        if calls <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(*arguments)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, write)
        with pytest.raises(OSError, match=r"No space left.*is whole.*--resume") as stopped:
            train(PIXELS, tiny_config(), run, SCHEDULE, device="cpu")
    assert str(newest_path(run)) in str(stopped.value)
    assert_same_end(unbroken[1], resume(run, device="cpu"))
    assert logs(run) == logs(unbroken[0])


def test_a_folder_that_cannot_be_written_to_is_refused(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot be written to .*file/run.*--run"):
        train(PIXELS, tiny_config(), tmp_path / "file" / "run", SCHEDULE, device="cpu")


@pytest.mark.parametrize("term", ["reward loss", "critic gradient norm"])
def test_what_is_not_finite_stops_the_run_and_is_not_saved(
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    term: str,
) -> None:
    plain = CoReSAC.update

    def update(agent: CoReSAC, batch: Any) -> None:
        if agent.updates == 10 and term == "reward loss":
            batch = batch._replace(rewards=batch.rewards * np.nan)
        elif agent.updates == 10:
            for parameter in agent.actor_critic.critic.parameters():
                parameter.register_hook(lambda gradient: gradient * np.nan)
        plain(agent, batch)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(CoReSAC, "update", update)
        with pytest.raises(FloatingPointError, match=r"--from") as stopped:
            train(PIXELS, tiny_config(), run, SCHEDULE, device="cpu")
    assert str(newest_path(run)) in str(stopped.value)
    assert f"The {term} is nan at update 11, agent step 30:" in str(stopped.value)
    # Smaller learning rates, from the last good checkpoint.
    origin = Origin.find(run)
    assert origin.with_optimizers and 0 < origin.updates < 11
    other = tiny_config(agent={"model_learning_rate": 1e-5})
    train(PIXELS, other, tmp_path / "next", SCHEDULE, "cpu", origin)


def test_a_run_takes_one_process_at_a_time(
    unbroken: tuple[Path, CoReSAC], tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    import fcntl

    (tmp_path / "run").mkdir()
    with open(tmp_path / "lock", "w"):
        handle = os.open(tmp_path / "run", os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=r"Another process is training in"):
            train(PIXELS, tiny_config(), tmp_path / "run", SCHEDULE, device="cpu")
        os.close(handle)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("settings.json", lambda v: {**v, "schedule": {"speed": 1}}, r"settings\.json.*'speed'"),
        ("settings.json", lambda v: {"environment": v["environment"]}, r"settings\.json.*'config'"),
        ("checkpoints/*/replay.json", lambda v: {**v, "format_version": 7}, r"format 7"),
        ("checkpoints/*/replay.json", lambda v: {**v, "segments": [{}]}, r"manifest is damaged"),
        ("checkpoints/*/training.json", lambda v: {**v, "format_version": 7}, r"format 7"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_and_left_alone(
    unbroken: tuple[Path, CoReSAC],
    tmp_path: Path,
    name: str,
    change: Callable[[Any], Any],
    message: str,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken[0], run)
    (path,) = run.glob(name)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=message):
        resume(run, env_steps=400, device="cpu")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_without_its_replay_buffer_goes_on_from_its_weights_alone(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken[0], run)
    shutil.rmtree(run / "replay")
    with pytest.raises(FileNotFoundError, match=r"replay.*--from"):
        resume(run, env_steps=400, device="cpu")
    assert Origin.find(run).agent_steps == unbroken[1].num_timesteps


def test_only_checkpoints_of_the_run_are_read_and_removed(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken[0], run)
    newest = newest_path(run)
    copies = [f"{newest.name} copy", f"{newest.name}.bak", f"{newest.name}-backup", "0-keep", "9"]
    for name in copies:
        shutil.copytree(newest, newest.with_name(name))
    following = f"{int(newest.name) + 1:08d}"
    files = [".DS_Store", "00000001.tar.gz", f".{newest.name}.12345678", "notes.txt", following]
    for name in files:
        newest.with_name(name).write_text("mine")
    (run / "replay" / "copy.segment").write_text("mine")
    resume(run, env_steps=400, device="cpu")
    left = {path.name for path in (run / "checkpoints").iterdir()}
    assert {*copies, *files} < left and len(left) == len(copies) + len(files) + 1
    assert newest.name not in left
    assert (run / "replay" / "copy.segment").read_text() == "mine"
    assert Origin.find(run).agent_steps == 102


def test_a_linked_checkpoint_is_removed_but_not_what_it_leads_to(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken[0], run)
    newest = newest_path(run)
    newest.rename(tmp_path / "disk")
    newest.symlink_to(tmp_path / "disk")
    resume(run, env_steps=400, device="cpu")
    assert (tmp_path / "disk" / "config.json").exists()
    assert [path.is_symlink() for path in (run / "checkpoints").iterdir()] == [False]


def test_a_model_folder_may_be_moved_and_hold_notes(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken[0], run)
    for name in ("model", "replay", "checkpoints"):
        shutil.move(run / name, tmp_path / name)
        (run / name).symlink_to(tmp_path / name)
    for name in ("README.md", "notes.txt"):
        (run / "model" / name).write_text("# mine")
    before = (run / "model" / "model.safetensors").read_bytes()
    for env_steps in (400, 500):
        resume(run, env_steps=env_steps, device="cpu")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() != before
    for name in ("README.md", "notes.txt"):
        assert (tmp_path / "model" / name).read_text() == "# mine"
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model", "is a file in the place"),
        ("replay", "is a link that leads nowhere in the place"),
        ("model/model.safetensors", "is a symbolic link, which saving would replace"),
    ],
)
def test_what_a_training_could_not_write_to_is_refused_at_once(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path, name: str, words: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken[0], run)
    shutil.move(run / name, tmp_path / "moved")
    if words.startswith("is a file"):
        (run / name).write_text("mine")
    else:
        (run / name).symlink_to(tmp_path / ("moved" if "/" in name else "nowhere"))
    with pytest.raises(FileExistsError, match=rf"{run / name} {words}"):
        resume(run, env_steps=400, device="cpu")


def test_a_run_without_checkpoints_does_not_start_again_over_its_logs(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken[0], run)
    # As the documentation allows when a training is over.
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "replay")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"no checkpoint to resume from.*--from"):
        resume(run, env_steps=400, device="cpu")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seconds": None}, r"'seconds' does not fit"),
        ({"env_steps": "many"}, r"'env_steps' does not fit"),
        ({"finished": []}, r"'finished' does not fit"),
        ({"log_counts": {"time/fps": "x"}}, r"'log_counts.time/fps' does not fit"),
    ],
)
def test_a_run_whose_record_was_damaged_is_refused_in_a_sentence(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken[0], run)
    path = newest_path(run) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ValueError, match=rf"run\.json: the field {words}: .*it was damaged\.$"):
        resume(run, env_steps=400, device="cpu")


# From another training's model


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("", "lacks agent_steps or updates"),
        ('{"agent_steps": 3}\n', "lacks agent_steps or updates"),
        ("[1]\n", "lacks agent_steps or updates"),
        ('{"agent_steps": "3", "updates": 1}\n', "must be whole numbers"),
        ('{"agent_steps": -3, "updates": 1}\n', "must be whole numbers"),
        ("{\n", "is not a record of a training"),
    ],
)
def test_a_model_with_a_broken_record_is_refused(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path, record: str, words: str
) -> None:
    shutil.copytree(unbroken[0] / "model", tmp_path / "model")
    (tmp_path / "model" / "evaluations.jsonl").write_text(record)
    with pytest.raises(ValueError, match=f"evaluations.jsonl.*{words}"):
        Origin.find(tmp_path / "model")


def test_a_line_that_was_not_written_whole_does_not_count(
    unbroken: tuple[Path, CoReSAC], tmp_path: Path
) -> None:
    shutil.copytree(unbroken[0] / "model", tmp_path / "model")
    record = '{"agent_steps": 3, "updates": 1}\n{"agent_steps": 4, "upd'
    (tmp_path / "model" / "evaluations.jsonl").write_text(record)
    origin = Origin.find(tmp_path / "model", "user/repo")
    assert (origin.agent_steps, origin.updates, origin.name) == (3, 1, "user/repo")


@pytest.mark.parametrize("kind", ["run", "model"])
def test_a_training_goes_on_from_a_model(
    unbroken: tuple[Path, CoReSAC],
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    before, first = unbroken
    origin = Origin.find(before if kind == "run" else before / "model")
    assert (origin.agent_steps, origin.updates) == (first.num_timesteps, first.updates)
    assert origin.with_optimizers == (kind == "run")

    seen: list[tuple[int, int]] = []
    plain = CoReSAC._act

    def act(agent: CoReSAC, observation: Any, starts: Any, at_random: bool) -> Any:
        seen.append((agent.num_timesteps, agent.updates))
        assert not at_random, "the policy fills the replay buffer"
        return plain(agent, observation, starts, at_random)

    monkeypatch.setattr(CoReSAC, "_act", act)
    agent = train(
        PIXELS, tiny_config(), tmp_path / "run", replace(SCHEDULE, env_steps=420), "cpu", origin
    )
    start = first.num_timesteps
    assert seen[0] == (start, first.updates) and agent.env_steps >= 420
    # Three episodes of 6 steps are more than the 16 after which learning starts.
    assert {updates for steps, updates in seen if steps < start + 18} == {first.updates}
    assert agent.updates == first.updates + (agent.num_timesteps - start - 12) // 2

    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["continued_from"] == asdict(origin)
    evaluations = [json.loads(line) for line in (tmp_path / "run/evaluations.jsonl").open()]
    last = json.loads((before / "evaluations.jsonl").read_text().splitlines()[-1])
    # The first evaluation is of the model as it came.
    assert evaluations[0]["returns"] == last["returns"]
    assert evaluations[0]["env_steps"] == last["env_steps"] == first.env_steps
    progress = read_progress(tmp_path / "run" / "progress.csv")
    assert progress["time/env_steps"][0] == first.env_steps
    np.testing.assert_allclose(progress[EVALUATION_RETURN][0], last["mean"], rtol=1e-5)


def test_a_model_that_is_there_already_is_refused(
    unbroken: tuple[Path, CoReSAC], tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    origin = Origin.find(unbroken[0])
    with pytest.raises(ValueError, match=r"300 .* end before learning starts: the model's own 312"):
        train(PIXELS, tiny_config(), tmp_path / "run", SCHEDULE, "cpu", origin)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["run", "model"])
@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.replace(agent=replace(config.agent, actor_layers=(7,))),
        lambda config: config.replace(
            objectives=replace(config.objectives, reward=RewardConfig(layers=(6, 6)))
        ),
    ],
)
def test_other_sizes_than_those_of_the_model_are_refused(
    unbroken: tuple[Path, CoReSAC],
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    kind: str,
    change: Callable[[CoReConfig], CoReConfig],
) -> None:
    origin = Origin.find(unbroken[0] if kind == "run" else unbroken[0] / "model", "user/repo")
    schedule = replace(SCHEDULE, env_steps=420)
    with pytest.raises(ValueError, match=r"continues from user/repo keeps the sizes.*leave out"):
        train(PIXELS, change(tiny_config()), tmp_path / "run", schedule, "cpu", origin)
    assert not (tmp_path / "run").exists()


def test_no_model_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="model"):
        Origin.find(tmp_path)


# Seeds


def test_seeds_of_episodes_depend_on_seed_environment_and_episode_alone(
    make_pixels: Callable[..., Any],
) -> None:
    seeds = {episode_seed(s, e, n) for s in range(5) for e in range(5) for n in range(40)}
    assert len(seeds) == 1_000

    def frames(start: int, count: int) -> list[bytes]:
        env = TrainingEpisodes(make_pixels(), seed=3)
        env.episode = start
        return [env.reset(seed=i)[0].tobytes() for i in range(count)]

    assert frames(2, 3) == frames(0, 5)[2:]


def test_episodes_of_a_training_may_be_short_while_its_model_acts_in_whole_ones(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    schedule = replace(SCHEDULE, env_steps=120, episode_steps=3)
    agent = train(PIXELS, tiny_config(), tmp_path / "run", schedule, device="cpu")
    lengths = {episode.length - 1 for episode in agent.replay_buffer.episodes}
    assert lengths == {3}
    # The environment truncates, it does not terminate.
    assert not any(e.records["terminated"].any() for e in agent.replay_buffer.episodes)
    assert "max_episode_steps" not in agent.environment_config.arguments
    lines = (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()
    assert {length for line in lines for length in json.loads(line)["lengths"]} == {8}
    again = RunSettings.read(tmp_path / "run")
    assert again.schedule.episode_steps == 3


@pytest.mark.slow
def test_memory_and_disk_stay_flat_when_the_replay_buffer_is_full(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations and checkpoints included."""
    used: dict[int, tuple[int, int]] = {}
    plain = callback.RunCallback._on_rollout_start

    def on_rollout_start(self: callback.RunCallback) -> None:
        plain(self)
        # The tests' environment remembers all its episodes.
        for env in (self.training_env.envs[0], self.validation_env):
            del env.unwrapped.episodes[:-1]
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
        disk = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
        used[self.model._episode_num] = resident, disk

    monkeypatch.setattr(callback.RunCallback, "_on_rollout_start", on_rollout_start)
    config = tiny_config(agent={"replay_size": 80, "updates_per_step": 0.1})
    train(PIXELS, config, tmp_path / "run", replace(SCHEDULE, env_steps=6_000), device="cpu")
    middle, end = used[80], used[240]
    # 160 episodes, while 11 fill the replay buffer, and each is followed by a checkpoint.
    assert end[0] - middle[0] < 2_000_000
    # The logs grow by some hundred bytes a line; the checkpoint holds a copy of them.
    assert end[1] - middle[1] < 500_000


# Killed for real


class Server:
    """Starts trainings in processes of their own; see ``training_server.py``."""

    def __init__(self, config: Path) -> None:
        script = Path(__file__).with_name("training_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, run: Path, env_steps: int) -> int:
        """Returns the number of a process that trains."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{run} {env_steps}\n")
        self.process.stdin.flush()
        return self._read()

    def end(self) -> int:
        """Waits for it; returns its exit status."""
        return self._read()

    def _read(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., CoReConfig]
) -> Iterator[Server]:
    config = tmp_path_factory.mktemp("server") / "config.json"
    config.write_text(tiny_config(agent={"replay_size": 80}).to_json())
    server = Server(config)
    yield server
    server.process.kill()
    server.process.wait()


def newest(run: Path) -> int:
    """Number of the newest checkpoint; −1 if there is none."""
    return max((int(path.name) for path in (run / "checkpoints").glob("[0-9]*")), default=-1)


def state_of(run: Path) -> dict[str, bytes]:
    """What a run came to, byte for byte: its newest checkpoint and its model."""
    checkpoint = run / "checkpoints" / f"{newest(run):08d}"
    paths = [checkpoint / name for name in ("model.safetensors", "agent.safetensors")]
    paths += [checkpoint / "training.safetensors", *(run / "model").glob("*.safetensors")]
    return {
        f"{'model' if path.parent.name == 'model' else 'checkpoint'}/{path.name}": path.read_bytes()
        for path in paths
    }


@pytest.mark.parametrize(
    ("kills", "env_steps"), [(3, 300), pytest.param(50, 1_500, marks=pytest.mark.slow)]
)
def test_a_run_that_was_killed_again_and_again_ends_as_if_it_never_was(
    server: Server, tmp_path: Path, kills: int, env_steps: int
) -> None:
    server.start(tmp_path / "unbroken", env_steps)
    assert server.end() == 0
    rng = np.random.default_rng(0)
    broken, finished = 0, 0
    run = tmp_path / "run-0"
    while broken < kills:
        before = newest(run)
        process = server.start(run, env_steps)
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, 1.2))
        else:
            # While a checkpoint is being written, some moments after its folder was made.
            deadline = time.monotonic() + rng.uniform(0, 1.2)
            while time.monotonic() < deadline or not list(run.glob("checkpoints/.0*")):
                if time.monotonic() > deadline + 5:
                    break
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.02))
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        status = server.end()
        assert status in (0, -signal.SIGKILL)
        assert newest(run) >= before, "a checkpoint was lost"
        records = run.glob("checkpoints/[0-9]*/run.json")
        if status == 0:
            assert_same_run(run, tmp_path / "unbroken")
        else:
            broken += 1
        # One that was killed after its last checkpoint cannot be resumed.
        if status == 0 or any(json.loads(path.read_text())["finished"] for path in records):
            finished += 1
            run = tmp_path / f"run-{finished}"
    server.start(run, env_steps)
    assert server.end() == 0
    assert_same_run(run, tmp_path / "unbroken")


def assert_same_run(run: Path, unbroken: Path) -> None:
    one, two = state_of(run), state_of(unbroken)
    assert one.keys() == two.keys() and len(one) == 5
    for name, content in one.items():
        assert content == two[name], name
    assert logs(run) == logs(unbroken)
    # Nothing of what was broken off is left over.
    assert not list(run.rglob(".*"))
    assert len(list(run.glob("checkpoints/*"))) == 1
