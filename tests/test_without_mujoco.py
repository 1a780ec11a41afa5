"""The package without its extra `suite`: without dm_control, MuJoCo and OpenGL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_WITHOUT = """
import importlib.abc, importlib.util, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dm_control", "mujoco", "OpenGL", "labmaze", "dm_env"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
real = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return real(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
"""
_IMPORT_ALL = """
import importlib, pkgutil
import core_repr

for module in pkgutil.walk_packages(core_repr.__path__, "core_repr."):
    importlib.import_module(module.name)
"""
_WORK = """
import pathlib, sys

sys.path.insert(0, sys.argv[1])
import gymnasium as gym
import torch
from stable_baselines3 import PPO

from core_repr import CoReSAC, CoReWrapper, cli, zoo
from your_own_environment import Reach

assert zoo.load("cartpole-swingup-medium-v1").config.environment.action_size == 1
gym.register("mine/Reach-v0", Reach)
agent = CoReSAC("CoRePolicy", gym.make("mine/Reach-v0"), config="compact", seed=0)
agent.learn(110)
agent.save_pretrained("reach")
PPO("MlpPolicy", CoReWrapper(Reach(), "reach"), n_steps=8, batch_size=8).learn(8)
assert cli.main(["evaluate", "reach", "--episodes", "1"]) == 0
assert cli.main(["zoo", "list"]) == 0
assert cli.main(["evaluate", "cartpole-swingup-easy-v0", "--episodes", "1"]) == 1
"""


def run(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT + script, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_every_module_can_be_imported(tmp_path: Path) -> None:
    process = run(_IMPORT_ALL, tmp_path)
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_learner_wrapper_zoo_and_commands_work(tmp_path: Path) -> None:
    examples = Path(__file__).parents[1] / "examples"
    process = run(_WORK, tmp_path, str(examples))
    assert process.returncode == 0, process.stderr
    assert 'pip install "core-repr[suite]"' in process.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"]])
def test_the_command_line_answers(tmp_path: Path, command: list[str]) -> None:
    process = run(
        "from core_repr import cli; raise SystemExit(cli.main(sys.argv[1:]))", tmp_path, *command
    )
    assert process.returncode == 0, process.stderr
