"""A user's training becomes a Hub model, and a colleague's ten lines run on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from huggingface_hub import ModelCard
from local_hub import LocalHub
from numpy.typing import NDArray

from core_repr import CoReWrapper, cli, training
from core_repr.config import CoReConfig
from core_repr.environments import EnvironmentChoice
from core_repr.training import Schedule

CARTPOLE = EnvironmentChoice(
    "distracting_control/cartpole-swingup-v0", {"difficulty": None, "frame_size": 16}
)
SECOND_HALF = """
import numpy as np
frames = gym.make("distracting_control/cartpole-swingup-v0", difficulty=None, frame_size=16)
env = CoReWrapper(frames, "user/cartpole")
latents = [env.reset(seed=3)[0]]
for _ in range(5):
    latents.append(env.step(np.full(1, 0.5, np.float32))[0])
np.save("latents.npy", latents)
"""


def latents(env: CoReWrapper) -> NDArray[np.float32]:
    observations = [env.reset(seed=3)[0]]
    for _ in range(5):
        observations.append(env.step(np.full(1, 0.5, np.float32))[0])
    return np.array(observations)


@pytest.mark.slow
def test_train_push_fetch_wrap(
    hub: LocalHub,
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "runs" / "mine"
    settings = {"learning_starts": 100, "updates_per_step": 0.02}
    config = tiny_config(agent=settings).replace(environment=None)
    schedule = Schedule(env_steps=2_000, evaluation_interval=2, evaluation_episodes=1)
    training.train(CARTPOLE, config, run, schedule, device="cpu")
    typed = ["zoo", "push", str(run), "user/cartpole", "--episodes", "1", "--yes"]
    assert cli.main(typed) == 0, capsys.readouterr().err
    repository = hub.repositories["user/cartpole"]
    files = repository.commits[repository.refs["refs/heads/main"]]
    assert sorted(files) == [
        "README.md",
        "agent.safetensors",
        "config.json",
        "evaluation.json",
        "evaluations.jsonl",
        "learning_curve.png",
        "model.safetensors",
        "progress.csv",
        "replay.mp4",
        "settings.json",
    ]
    assert len(repository.messages) == 2
    card = ModelCard(files["README.md"].content.decode())
    card.validate()
    [result] = card.data.eval_results or []  # One episode has no standard error.
    assert result.metric_type == "mean_reward" and result.dataset_type == CARTPOLE.id

    # A colleague with nothing but the ten lines of the card, on a fresh machine.
    [script, *_] = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    assert len(script.strip().splitlines()) <= 10
    script = script.replace("learn(5_000, progress_bar=True)", "learn(10)") + SECOND_HALF
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "fresh"),
            "HF_HUB_DISABLE_XET": "1",
            "OMP_NUM_THREADS": "1",
        },
    )
    assert process.returncode == 0, process.stderr
    env = gym.make(CARTPOLE.id, **CARTPOLE.arguments)
    expected = latents(CoReWrapper(env, run / "model"))
    np.testing.assert_array_equal(np.load(tmp_path / "latents.npy"), expected)
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "package"),
    [
        (["Reacher-v5", "--wrappers", 'DistractionWrapper("easy", dynamic=True)'], "mujoco"),
        (
            [
                *("CarRacing-v3", "--env-args", "max_episode_steps=50", "--wrappers"),
                'ImageDistractionWrapper("easy", background_colors=[[102, 204, 102]])',
            ],
            "Box2D",
        ),
        (
            [
                *("FetchReach-v4", "--import", "gymnasium_robotics", "--wrappers"),
                'DistractionWrapper("easy", render_only=True)',
            ],
            "gymnasium_robotics",
        ),
        (["distracting_control/walker-run-v0"], "dm_control"),
        (["distracting_robosuite/Door-v0", "--env-args", "distractions=color"], "robosuite"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_other_environments_from_the_command_line_alone(
    hub: LocalHub, tmp_path: Path, environment: list[str], package: str
) -> None:
    pytest.importorskip(package)
    variables = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
        "SDL_VIDEODRIVER": "dummy",
    }

    def run(*typed: str) -> str:
        process = subprocess.run(
            [sys.executable, *typed], cwd=tmp_path, capture_output=True, text=True, env=variables
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    start = ("-c", "import sys; from core_repr.cli import main; sys.exit(main())")
    importing = environment[1:3] if "--import" in environment else []
    few = (
        *("--env-steps", "700", "--agent.learning-starts", "200", "--agent.initial-updates", "2"),
        *("--agent.updates-per-step", "0.01", "--evaluation-interval", "1"),
        *("--evaluation-episodes", "1", "--device", "cpu"),
    )
    run(*start, "train", "--env", *environment, *few, "--run", "runs/mine")
    few_episodes = ("--episodes", "1", *importing)
    told = run(*start, "evaluate", "runs/mine/model", *few_episodes)
    assert environment[0] in told and "1 episode" in told
    run(*start, "zoo", "push", "runs/mine", "user/mine", *few_episodes, "--yes")
    assert environment[0] in run(*start, "evaluate", "user/mine", *few_episodes)
    repository = hub.repositories["user/mine"]
    files = repository.commits[repository.refs["refs/heads/main"]]
    [script, *_] = re.findall(
        r"```python\n(.*?)```", files["README.md"].content.decode(), re.DOTALL
    )
    # The card cannot know which package registers an id.
    imported = "".join(f"import {name}\n" for name in importing[1:])
    script = script.replace("learn(5_000, progress_bar=True)", "learn(10)")
    run("-W", "error::UserWarning:core_repr", "-c", imported + script)


def test_a_run_that_holds_no_model(hub: LocalHub, tmp_path: Path) -> None:
    assert cli.main(["zoo", "push", str(tmp_path), "user/new", "--yes"]) == 1
    assert hub.repositories == {}
