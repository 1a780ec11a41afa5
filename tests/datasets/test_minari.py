"""Episodes of Minari's: recorded, read again, learned from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr import CoReWorldModel, CoReWrapper, cli
from core_repr.agent import CoReSAC
from core_repr.config import ContinuationConfig, CoReConfig
from core_repr.datasets import open_dataset
from core_repr.datasets.recording import record_dataset

minari = pytest.importorskip("minari")

PIXELS = "core-repr-tests/Pixels-v0"


class Up:
    """Takes the largest action."""

    def predict(self, observation: Any, state: Any = None, *_: Any, **__: Any) -> Any:
        return np.full(2, 3, np.float32), state


@pytest.fixture
def recorded(make_pixels: Callable[..., Any]) -> Any:
    env = make_pixels(length=6, frame_size=40)
    assert record_dataset(env, "mine/pixels-v0", Up(), 4, 0.5, seed=3) == 24
    return env


def test_what_was_played_is_read_again(recorded: Any, minari_folder: Path) -> None:
    played = recorded.unwrapped.episodes
    assert "total_steps=6" in repr(minari.load_dataset("mine/pixels-v0")[0])
    for source in ("mine/pixels-v0", minari_folder / "mine" / "pixels-v0"):
        dataset = open_dataset(source, 40)
        assert len(dataset) == 4 and dataset.action_space == recorded.action_space
        assert dataset.spec is not None and dataset.spec.id == PIXELS
        for episode, (frames, actions, rewards) in zip(dataset, played, strict=True):
            np.testing.assert_array_equal(episode.observations, np.stack(frames))
            np.testing.assert_array_equal(episode.actions, np.stack(actions))
            np.testing.assert_allclose(episode.rewards, rewards)
            assert not episode.terminated
    ups = [(np.stack(actions) == 3).all() for _, actions, _ in played]
    assert ups == [True, False, True, False]


@pytest.mark.slow
def test_latents_and_pixels_beside_them(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., Any], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    CoReSAC("CoRePolicy", make_pixels(length=6), tiny_config()).save_pretrained(model)
    # What a model is of, is recorded with it.
    typed = ["record", str(model), "mine/latents-v0", "--episodes", "2"]
    assert cli.main(typed) == 0
    dataset = minari.load_dataset("mine/latents-v0")
    env = CoReWrapper(make_pixels(length=6), str(model))
    assert dataset.observation_space == env.observation_space
    first = dataset[0]
    latent, _ = env.reset(seed=0)
    np.testing.assert_allclose(first.observations[0], latent, atol=1e-5)
    for action, expected in zip(first.actions, first.observations[1:], strict=True):
        np.testing.assert_allclose(env.step(action)[0], expected, atol=1e-5)
    assert cli.main([*typed[:2], "mine/both-v0", "--observations", "both", "--episodes", "1"]) == 0
    both = minari.load_dataset("mine/both-v0")[0].observations
    assert both["pixels"].shape == (7, 16, 16, 3) and both["latent"].shape[0] == 7
    # A new model does not see what the earlier one made of the frames.
    assert "latent" not in open_dataset("mine/both-v0", 16).observation_space.spaces


TINY = (
    *("--world-model.frame-size", "40", "--world-model.crop-size", "36"),
    *("--agent.batch-size", "2", "--agent.sequence-length", "4"),
)


@pytest.mark.slow
def test_a_world_model_learns_from_it_and_resumes(
    recorded: Any,
    tmp_path: Path,
    tiny_config: Callable[..., CoReConfig],
    capsys: pytest.CaptureFixture[str],
    make_pixels: Callable[..., Any],
) -> None:
    from core_repr.training import DatasetSchedule, resume_from_dataset, train_from_dataset

    schedule = DatasetSchedule("mine/pixels-v0", updates=4, evaluation_interval=2)
    whole = train_from_dataset(tiny_config(), tmp_path / "whole", schedule, "cpu")
    half = DatasetSchedule("mine/pixels-v0", updates=2, evaluation_interval=2)
    train_from_dataset(tiny_config(), tmp_path / "half", half, "cpu")
    assert cli.main(["train", "--resume", str(tmp_path / "half")]) == 1
    assert "2 updates already" in capsys.readouterr().err
    again = resume_from_dataset(tmp_path / "half", 4, "cpu")
    for name, value in whole.world_model.state_dict().items():
        assert (value == again.world_model.state_dict()[name]).all(), name
    lines = (tmp_path / "half" / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["updates"] for line in lines] == [2, 4]
    assert {"kl", "reward_loss"} <= json.loads(lines[-1])["losses"].keys()
    assert "1" in json.loads(lines[-1])["imagined_reward_r2"]
    assert (tmp_path / "half" / "progress.png").stat().st_size
    model = CoReWorldModel.from_pretrained(tmp_path / "half" / "model")
    config = model.config.environment
    assert config is not None and config.id == PIXELS and config.action_repeat == 4
    # One of four episodes is held out.
    assert sum(e.length for e in whole.replay_buffer.episodes) == 3 * 7
    CoReWrapper(make_pixels(length=6), model).reset(seed=0)


@pytest.mark.slow
def test_a_world_model_learns_which_states_terminate_an_episode(
    make_pixels: Callable[..., Any], tmp_path: Path, tiny_config: Callable[..., CoReConfig]
) -> None:
    from core_repr.training import DatasetSchedule, train_from_dataset

    env = make_pixels(length=6, frame_size=40, terminates=True)
    record_dataset(env, "mine/pixels-v0", Up(), 4, 0.5, seed=3)
    config = tiny_config()
    objectives = replace(config.objectives, continuation=ContinuationConfig(layers=(8,)))
    config = config.replace(objectives=objectives)
    schedule = DatasetSchedule("mine/pixels-v0", updates=3, evaluation_interval=3)
    agent = train_from_dataset(config, tmp_path / "run", schedule, "cpu")
    assert all(episode.terminated for episode in agent.replay_buffer.episodes)
    state = agent.world_model.initial_state(2)
    assert (agent.world_model.predict_continuation(state) < 1).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("episodes", "high", "tells_bounds", "words"),
    [
        (4, 3, True, "other actions or rewards"),
        (5, 3, True, "4 episodes then and 5 now"),
        (4, 4, True, r"actions within .*3.0\]\] then and .*4.0\]\] now"),
        (4, 4, False, r"actions within .*3.0\]\] then and .*4.0\]\] now"),
        (4, 3, False, "other actions or rewards"),
    ],
)
def test_what_has_changed_since_is_not_resumed(
    recorded: Any,
    tmp_path: Path,
    tiny_config: Callable[..., CoReConfig],
    make_pixels: Callable[..., Any],
    episodes: int,
    high: float,
    tells_bounds: bool,
    words: str,
) -> None:
    from core_repr.training import DatasetSchedule, resume_from_dataset, train_from_dataset

    schedule = DatasetSchedule("mine/pixels-v0", updates=1)
    train_from_dataset(tiny_config(), tmp_path / "run", schedule, "cpu")
    settings = tmp_path / "run" / "settings.json"
    told = json.loads(settings.read_text())
    if not tells_bounds:
        # As runs of earlier releases; the model's config has them.
        del told["dataset"]["action_bounds"]
        settings.write_text(json.dumps(told))
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    minari.delete_dataset("mine/pixels-v0")
    env = make_pixels(length=6, frame_size=40)
    env.unwrapped.action_space = gym.spaces.Box(-2, high, (2,), np.float32)
    record_dataset(env, "mine/pixels-v0", Up(), episodes, 0.5, seed=4)
    with pytest.raises(ValueError, match=f"has changed since the training began: {words}"):
        resume_from_dataset(tmp_path / "run", 2, "cpu")
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.slow
def test_from_the_command_line(
    recorded: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["train", "--dataset", "mine/pixels-v0", "--updates", "1", *TINY]
    assert cli.main([*typed, "--run", "run"]) == 0
    assert "core-repr train --from run" in capsys.readouterr().out
    assert cli.main([*typed, "--run", "run"]) == 1
    assert "already holds a run" in capsys.readouterr().err
    assert cli.main(["train", "--resume", "run", "--updates", "2"]) == 0
    # Then on in the environment.
    few = ["--env-steps", "200", "--evaluation-episodes", "1", "--agent.updates-per-step", "0.1"]
    few += ["--agent.learning-starts", "10"]
    assert cli.main(["train", "--from", "run", "--run", "on", *few]) == 0
    assert cli.main(["evaluate", "on/model", "--episodes", "1"]) == 0


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--dataset", "mine/none-v0"], "no data set 'mine/none-v0'"),
        (["--dataset", "mine/pixels-v0", "--env", PIXELS], "leave out the environment's options"),
        (["--dataset", "mine/pixels-v0", "--env-steps", "9"], "leave out --env-steps"),
        (["--dataset", "mine/pixels-v0", "--variant", "sac-rad"], "no world model"),
        (["--dataset", "mine/pixels-v0", "--variant", "rsac"], "learns nothing by itself"),
        (["--dataset", "mine/pixels-v0", "--updates", "0"], "at least 1"),
        (["--updates", "5"], "name that with --dataset"),
        (["--dataset", "mine/one-v0"], "1 episodes"),
        (["--dataset", "mine/numbers-v0"], "frames"),
        (["--dataset", "."], "There is no data set"),
    ],
)
def test_what_is_refused(
    recorded: Any,
    make_pixels: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    record_dataset(make_pixels(length=3), "mine/one-v0", Up(), 1)
    pendulum: Any = gym.make("Pendulum-v1", max_episode_steps=3)
    record_dataset(pendulum, "mine/numbers-v0", None, 2, 1.0)
    sizes = [] if "sac-rad" in typed else TINY
    assert cli.main(["train", *typed, *sizes, "--run", "run"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("core-repr: ") and message in error
    assert not Path("run").exists()


def test_what_record_refuses(
    recorded: Any, make_pixels: Callable[..., Any], minari_folder: Path
) -> None:
    env = make_pixels(length=3)
    with pytest.raises(FileExistsError, match="already; choose another id"):
        record_dataset(env, "mine/pixels-v0", Up(), 1)
    with pytest.raises(ValueError, match="name with a version"):
        record_dataset(env, "mine/pixels", Up(), 1)
    with pytest.raises(ValueError, match="number from 0 to 1"):
        record_dataset(env, "mine/other-v0", Up(), 1, 1.5)

    class Broken(Up):
        calls = 0

        def predict(self, *_: Any, **__: Any) -> Any:
            self.calls += 1
            if self.calls > 4:
                raise RuntimeError("broken")
            return super().predict(None)

    with pytest.raises(RuntimeError, match="broken"):
        record_dataset(env, "mine/other-v0", Broken(), 2)
    assert not (minari_folder / "mine" / "other-v0").exists()


def test_a_full_disk_is_told_before_it_is_full(
    make_pixels: Callable[..., Any], minari_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_100))
    with pytest.raises(OSError, match=r"mine/full-v0 cannot be written \(No space.*make room"):
        record_dataset(make_pixels(length=3), "mine/full-v0", Up(), 1)
    assert not (minari_folder / "mine").exists() or not [*(minari_folder / "mine").iterdir()]
