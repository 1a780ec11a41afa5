"""dm_control's suite where it is missing or does not fit."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from types import SimpleNamespace

import gymnasium as gym
import pytest

import core_repr  # noqa: F401
from core_repr.envs.distracting_control import simulator

CARTPOLE = "distracting_control/cartpole-swingup-v0"


@pytest.mark.parametrize("package", ["dm_control", "mujoco"])
def test_a_missing_package_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else real(name)
    )
    with pytest.raises(gym.error.DependencyNotInstalled) as error:
        gym.make(CARTPOLE, difficulty="hard")
    assert f"needs {package}, which is not installed" in str(error.value)
    assert 'pip install "core-repr[suite]"' in str(error.value)


def fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Stands in for a dm_control that cannot load a task."""

    def load(domain: str, task: str) -> None:
        raise error

    stub = SimpleNamespace(suite=SimpleNamespace(load=load))
    monkeypatch.setitem(sys.modules, "dm_control", stub)  # type: ignore[arg-type]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.mark.parametrize("message", ["no attribute 'flex_bandwidth'", "no attribute\nrepair it"])
def test_a_mujoco_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    versions = {"dm_control": "1.0.41", "mujoco": "3.10.0"}
    monkeypatch.setattr(metadata, "version", versions.__getitem__)
    fails(monkeypatch, AttributeError(message))
    with pytest.raises(gym.error.DependencyNotInstalled) as error:
        simulator.load_task("cartpole", "swingup")
    words = str(error.value)
    assert "dm_control 1.0.41 does not work with MuJoCo 3.10.0 (no attribute" in words
    assert "dm_control 1.0.41 works with MuJoCo 3.8" in words and "\n" not in words


def test_other_failures_are_not_blamed_on_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"dm_control": "1.0.41", "mujoco": "3.8.1"}
    monkeypatch.setattr(metadata, "version", versions.__getitem__)
    fails(monkeypatch, OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        simulator.load_task("cartpole", "swingup")


@pytest.mark.parametrize(("version", "labmaze"), [((3, 12, 1), True), ((3, 13, 0), False)])
def test_where_labmaze_has_no_build_dm_control_is_installed_by_itself(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], labmaze: bool
) -> None:
    monkeypatch.setattr(simulator.sys, "version_info", version)
    assert ("--no-deps dm_control==1.0.41" in simulator.install_command()) != labmaze
