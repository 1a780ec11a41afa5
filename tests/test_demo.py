from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import stable_baselines3

from core_repr import ActionRepeat, cli, demo
from core_repr.agent import CoReSAC
from core_repr.config import (
    CoReConfig,
    EncoderConfig,
    RecurrentDynamicsConfig,
    SACConfig,
    WorldModelConfig,
)
from core_repr.environments import make_environment


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained, tiny model of the real environment, with its agent."""
    sizes = WorldModelConfig(
        frame_size=24,
        crop_size=20,
        encoder=EncoderConfig(filters=(4, 4), kernel_size=4, strides=(4, 2)),
        dynamics=RecurrentDynamicsConfig(deterministic_size=8, stochastic_size=4),
    )
    agent = SACConfig(actor_layers=(8,), critic_layers=(8,), replay_size=50, learning_starts=0)
    env = gym.make(
        "distracting_control/cartpole-swingup-v0",
        difficulty="easy",
        dynamic=True,
        frame_size=24,
        action_repeat=50,
    )
    folder = tmp_path_factory.mktemp("model")
    CoReSAC("CoRePolicy", env, CoReConfig(sizes, agent=agent), seed=0).save_pretrained(folder)
    env.close()
    return folder


def test_demo_writes_what_it_names(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    typed = ["demo", str(model), "--folder", str(folder), "--env-steps", "14000", "--episodes", "2"]
    assert cli.main(typed) == 0
    shown = capsys.readouterr().out
    for name in ("agent.mp4", "learning_curve.png", "results.json"):
        assert (folder / name).stat().st_size > 100
        assert name in shown
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    assert list(results) == ["random policy", "CoRe's own agent", "SB3 SAC on latents"]
    assert all(len(result["returns"]) == 2 for result in results.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--env-steps", "49"], "--env-steps must be at least 50, not 49"),
        (["--episodes", "0"], "--episodes must be at least 1, not 0"),
        (["--folder", "{model}"], "holds a run or a model (config.json)"),
    ],
)
def test_a_demo_that_cannot_be_is_refused(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    typed = [option.format(model=model) for option in options]
    assert cli.main(["demo", str(model), "--folder", str(tmp_path / "demo"), *typed]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "demo").exists() and not (model / "progress.csv").exists()


def test_evaluate_writes_every_episode(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, video = tmp_path / "out" / "hard.json", tmp_path / "hard.mp4"
    typed = ["evaluate", str(model), "--episodes", "2", "--seed", "7", "--difficulty", "hard"]
    typed += ["--num-videos", "3"]
    assert cli.main([*typed, "--output", str(output), "--video", str(video)]) == 0
    outcome = json.loads(output.read_text())
    assert outcome["seeds"] == [7, 8] and len(outcome["returns"]) == 2
    assert outcome["environment"]["arguments"]["split"] == "val"
    assert outcome["environment"]["arguments"]["difficulty"] == "hard"
    assert outcome["environment"]["arguments"]["num_videos"] == 3
    assert video.stat().st_size > 100
    assert "2 episodes, seeds 7 to 8" in capsys.readouterr().out
    typed[3] = "1"
    assert cli.main(typed) == 0
    assert " (1 episode, seed 7, deterministic policy)" in capsys.readouterr().out


def test_an_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "no-such-model-v0"]) == 1
    assert "no-such-model-v0" in capsys.readouterr().err


def test_an_environment_need_not_say_how_long_it_holds_an_action(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, learned = gym.make("Pendulum-v1"), []
    monkeypatch.setattr(
        stable_baselines3.SAC, "learn", lambda _self, steps, *_, **__: learned.append(steps)
    )
    demo.train_on_latents(env, env, tmp_path, 300, seed=0)
    demo.train_on_latents(ActionRepeat(ActionRepeat(env, 2), 3), env, tmp_path, 300, seed=0)
    assert learned == [300, 50]


def test_the_environment_is_made_again(model: Path) -> None:
    environment = CoReSAC.from_pretrained(model).environment_config
    env = make_environment(environment, split="val")
    assert env.get_wrapper_attr("action_repeat") == 50
    assert env.spec is not None and env.spec.kwargs["split"] == "val"
    env.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("progress.csv", "mine"),
        ("agent.mp4", "mine"),
        ("results.json", '{"accuracy": 1}'),
        ("results.json", "mine"),
        ("results.json", "[]"),
    ],
)
def test_files_that_no_demo_wrote_are_not_replaced(
    model: Path, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(FileExistsError, match=rf"holds '{name}', which is not of an earlier demo"):
        demo.demo(model, tmp_path, 50, 1, 0)
    assert [path.read_text() for path in tmp_path.iterdir()] == [content]


@pytest.mark.parametrize("results", ["{}\n", '{"random policy": {}}'])
def test_files_of_an_earlier_demo_may_be_replaced(
    model: Path, tmp_path: Path, results: str
) -> None:
    (tmp_path / "results.json").write_text(results)
    (tmp_path / "progress.csv").write_text("ours")
    with pytest.raises(ValueError, match="needs at least 1"):
        demo.demo(model, tmp_path, 50, 0, 0)
