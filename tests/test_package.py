"""What `import core_repr` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

import core_repr


@pytest.mark.parametrize("name", core_repr.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(core_repr, name) is not None
    assert name in dir(core_repr)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'CoReSac'"):
        core_repr.CoReSac  # noqa: B018


def test_the_environments_are_registered() -> None:
    assert "distracting_control/cartpole-swingup-v0" in gym.registry


def test_importing_loads_nothing_heavy() -> None:
    heavy = (
        "mujoco",
        "dm_control",
        "stable_baselines3",
        "matplotlib",
        "robosuite",
        "imageio",
        "huggingface_hub",
    )
    script = f"import sys, core_repr; print([n for n in {heavy} if n in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


@pytest.mark.slow
def test_types_are_seen_from_outside(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import gymnasium as gym\n"
        "from core_repr import CoReSAC, CoReWrapper, LatentState\n"
        "from core_repr.evaluation import evaluate\n"
        "\n"
        'env = CoReWrapper(gym.make("CarRacing-v3"), "cartpole-swingup-medium-v1")\n'
        "state: LatentState = env.latent_state\n"
        "mean: float = evaluate(CoReSAC, env, 1).mean\n"
        "reveal_type(env.model)\n"
        'CoReWrapper(env, 3, feature="mean")\n'
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "mine.py"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert 'Revealed type is "core_repr.world_model.world_model.CoReWorldModel"' in told
    errors = [line for line in told.splitlines() if "error:" in line]
    assert len(errors) == 3 and "mine.py:7" in errors[0] and "type[CoReSAC]" in errors[0], told
    assert 'Unexpected keyword argument "feature"' in told
    assert 'Argument 2 to "CoReWrapper" has incompatible type "int"' in told
