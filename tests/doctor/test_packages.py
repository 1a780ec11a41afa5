"""Versions of what is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from core_repr.doctor import packages
from core_repr.doctor.check import Check
from core_repr.envs.distracting_control import simulator

DECLARED = [
    "torch>=2.8",
    "numpy>=1.26",
    'mujoco<3.9,>=3.8.1; extra == "suite"',
    'Pillow>=10; extra == "suite"',
    'robosuite==1.5.2; extra == "robosuite"',
    'h5py; extra == "robosuite"',
    'numpy<2; extra == "robosuite"',
    'no-such-distribution; extra == "dev"',
]
FITTING = {
    "torch": "2.13.0",
    "numpy": "2.4.6",
    "dm_control": "1.0.41",
    "mujoco": "3.8.1",
    "Pillow": "13.0.0",
}

Find = Callable[[dict[str, str | None]], list[Check]]


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Find:
    """The findings where these versions are installed, and of all others those that fit."""

    def find(versions: dict[str, str | None]) -> list[Check]:
        monkeypatch.setattr(packages.metadata, "requires", lambda name: DECLARED)
        monkeypatch.setattr(packages, "installed", {**FITTING, **versions}.get)
        return list(packages.findings())

    return find


def problems(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if check.status == "problem"]


@pytest.mark.parametrize(
    ("requirement", "status"),
    [
        ("mujoco>=3.8.1,<3.9", "ok"),
        ("mujoco>=1000", "problem"),
        ("no-such-distribution>=1", "problem"),
    ],
)
def test_packages_are_held_against_their_range(requirement: str, status: str) -> None:
    check = packages.package(Requirement(requirement))
    assert check.status == status
    if status == "problem":
        assert check.advice == f"pip install '{Requirement(requirement)}'"


def test_what_fits_is_no_problem(find: Find) -> None:
    checks = find({})
    assert problems(checks) == []
    assert ("numpy", "2.4.6") in {(check.name, check.found) for check in checks}


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ({"mujoco": "4.0.0"}, "1.0.41, 4.0.0, but dm_control 1.0.41 goes with MuJoCo 3.8"),
        ({"mujoco": "3.80.0"}, "1.0.41, 3.80.0, but"),
        ({"dm_control": "1.0.50"}, "1.0.50, 3.8.1, but"),
        ({"mujoco": None}, "1.0.41, not installed, but"),
    ],
)
def test_dm_control_and_mujoco_must_go_together(
    find: Find, versions: dict[str, str | None], found: str
) -> None:
    checks = find(versions)
    assert problems(checks) == ["dm_control, MuJoCo"]
    (check,) = (check for check in checks if check.status == "problem")
    assert found in check.found and "core-repr[suite]" in check.advice


@pytest.mark.parametrize("mujoco", ["4.0.0", None])
def test_any_mujoco_will_do_without_dm_control(find: Find, mujoco: str | None) -> None:
    checks = find({"dm_control": None, "mujoco": mujoco})
    assert problems(checks) == []
    (check,) = (check for check in checks if check.name == "dm_control, MuJoCo")
    assert "not installed (optional" in check.found and "core-repr[suite]" in check.found


def test_the_rest_of_an_extra_is_looked_at_too(find: Find) -> None:
    assert problems(find({"Pillow": "9.0"})) == ["Pillow"]
    assert problems(find({"Pillow": None, "dm_control": None})) == []


def test_robosuite_needs_an_older_numpy(find: Find) -> None:
    checks = find({"robosuite": "1.5.2", "h5py": "3.16.0"})
    assert ("robosuite", "ok") in {(check.name, check.status) for check in checks}
    assert problems(checks) == ["numpy"]


def test_the_extra_installs_what_goes_together() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'"dm_control=={simulator.DM_CONTROL}; ' in project
    assert f'"mujoco>={simulator.MUJOCO}.1,<3.9"' in project
