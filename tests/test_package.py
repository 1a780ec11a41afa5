"""What `import core_repr` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

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
