"""Environments that this project did not prepare: trained in, wrapped, and loaded again."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr import cli, publishing
from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig, WrapperConfig
from core_repr.environments import make_environment
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReWrapper

SCRIPT = Path(__file__).with_name("other_environments.py")
# Not by an import: pytest's import mode leaves the folder of a test off the path.
PACKAGES = runpy.run_path(str(SCRIPT))["ENVIRONMENTS"]


def reacher(side: int) -> gym.Env[Any, Any]:
    pytest.importorskip("mujoco")
    env = gym.make("Reacher-v5", render_mode="rgb_array", width=side, height=side)
    return gym.wrappers.AddRenderObservation(env)


@pytest.mark.parametrize("side", [16, 24], ids=["own size", "larger"])
def test_gymnasium_s_mujoco_environments_train_and_wrap(
    tiny_config: Callable[..., CoReConfig], side: int
) -> None:
    env = reacher(side)
    frame, _ = env.reset(seed=0)
    assert frame.strides[0] < 0, "the renderer gives another layout now: try another one here"
    config = tiny_config().replace(environment=None)
    agent = CoReSAC("CoRePolicy", env, config, seed=0, device="cpu").learn(50)
    assert agent.updates > 0
    recorded = agent.environment_config
    arguments = {"width": side, "height": side, "render_mode": "rgb_array"}
    assert (recorded.id, recorded.arguments) == ("Reacher-v5", arguments)
    assert recorded.wrappers == (WrapperConfig("gymnasium.wrappers.AddRenderObservation"),)
    again = make_environment(recorded)
    assert again.observation_space == env.observation_space
    again.close()
    # Wrapped, it is the environment of the training: no warning.
    wrapped = CoReWrapper(reacher(side), agent.world_model, keep=["pixels"])
    seen, _ = wrapped.reset(seed=0)
    _, state = agent.predict(seen["pixels"], deterministic=True)
    np.testing.assert_allclose(seen["latent"], state.latent.features[0], atol=1e-5)
    assert np.isfinite(wrapped.step(wrapped.action_space.sample())[0]["latent"]).all()
    wrapped.close()
    env.close()


def test_frames_that_are_larger_than_in_the_training_are_told(
    tiny_config: Callable[..., CoReConfig],
) -> None:
    config = tiny_config()
    with pytest.warns(UserWarning, match="it is Reacher-v5.*24 × 24 pixels are reduced to 16 × 16"):
        CoReWrapper(reacher(24), CoReWorldModel(config)).close()


@pytest.mark.slow
@pytest.mark.parametrize("size", ["own size", "another"])
@pytest.mark.parametrize("environment_id", PACKAGES)
def test_a_newcomer_s_environment(tmp_path: Path, environment_id: str, size: str) -> None:
    pytest.importorskip(PACKAGES[environment_id])
    rendered, side = (72, 72) if size == "own size" else (100, 72)
    if environment_id == "CarRacing-v3":
        rendered, side = (96, 96) if size == "own size" else (96, 72)
    for command in ("first", "again"):
        done = subprocess.run(
            [
                sys.executable,
                SCRIPT,
                command,
                tmp_path,
                environment_id,
                str(rendered),
                str(side),
            ],
            env={"MUJOCO_GL": "egl", **os.environ},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert "the same" in done.stdout


@pytest.mark.slow
def test_a_wrapped_environment_from_the_training_to_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mujoco")
    run, results = tmp_path / "run", tmp_path / "results.csv"
    few = (
        *("--env-steps", "600", "--agent.learning-starts", "200", "--agent.initial-updates", "2"),
        *("--agent.updates-per-step", "0.01", "--evaluation-interval", "4"),
        *("--evaluation-episodes", "1", "--device", "cpu"),
    )
    wrapper = 'DistractionWrapper("easy", dynamic=True, surfaces={"ground": 0.2})'
    typed = ["train", "--env", "Reacher-v5", "--wrappers", wrapper, *few, "--run", str(run)]
    assert cli.main(typed) == 0
    assert "does not tell of the wrapper" not in caplog.text
    capsys.readouterr()
    model = str(run / "model")
    evaluated = ("--episodes", "1", "--difficulty", "hard", "--results", str(results))
    assert cli.main(["evaluate", model, *evaluated]) == 0
    assert (
        'Reacher-v5 with {}, within DistractionWrapper(difficulty="hard", dynamic=True, '
        'surfaces={"ground": 0.2}, split="val")'
    ) in capsys.readouterr().out
    more = ("--env-steps", "1200", *few[2:], "--run", str(tmp_path / "next"))
    assert cli.main(["train", "--from", str(run), *more]) == 0
    folder = tmp_path / "published"
    folder.mkdir()
    summary = publishing.prepare(run, "me/reacher", folder, episodes=1)
    assert summary.level == "easy, dynamic"
    evaluation = json.loads((folder / "evaluation.json").read_text())
    (worn,) = evaluation["environment"]["wrappers"]
    assert worn["arguments"]["split"] == "val" and worn["arguments"]["difficulty"] == "easy"
    card = (folder / "README.md").read_text()
    assert "has not seen" in card and "env = DistractionWrapper(env, difficulty=" in card
    again = CoReWrapper(make_environment(summary.config.environment), model)
    assert again.reset(seed=0)[0].shape == again.observation_space.shape
    again.close()
