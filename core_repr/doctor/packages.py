"""Installed packages against the ranges that core-repr's own metadata asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement

import core_repr
from core_repr.doctor.check import Check
from core_repr.envs.distracting_control import simulator

NAMED = ("torch", "gymnasium", "stable-baselines3", "numpy")
"""Whose versions are worth a line each."""


def findings() -> Iterator[Check]:
    """Each declared dependency, and those of the extras that are installed."""
    try:
        declared = [Requirement(line) for line in metadata.requires("core-repr") or []]
        yield Check("core-repr", "ok", core_repr.__version__)
    except metadata.PackageNotFoundError:
        declared = []
        yield Check(
            "core-repr",
            "warning",
            f"{core_repr.__version__}, runs from its sources without being installed",
            "install it: pip install -e . (in the clone)",
        )
    fits = 0
    for check in map(package, _needed(declared)):
        fits += check.status == "ok"
        if check.name in NAMED or check.status != "ok":
            yield check
    yield Check("packages", "ok", f"{fits} are there and fit")
    yield from _suite(_needed(declared, "suite"))
    yield from _robosuite(_needed(declared, "robosuite"))


def package(requirement: Requirement) -> Check:
    """Holds what is installed against a requirement."""
    version = installed(requirement.name)
    wanted = f"{requirement.name}{requirement.specifier}"
    if version is None:
        return Check(requirement.name, "problem", "not installed", f"pip install '{wanted}'")
    if not requirement.specifier.contains(version, prereleases=True):
        return Check(
            requirement.name,
            "problem",
            f"{version}, but core-repr was tested with {requirement.specifier}",
            f"pip install '{wanted}'",
        )
    return Check(requirement.name, "ok", version)


def installed(distribution: str) -> str | None:
    """Returns the version of what is installed, if it is."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _needed(declared: Iterable[Requirement], extra: str = "") -> list[Requirement]:
    """What is needed on this Python: by an extra alone, or without any."""
    return [
        requirement
        for requirement in declared
        if (extra == "" or f'extra == "{extra}"' in str(requirement.marker))
        and (requirement.marker is None or requirement.marker.evaluate({"extra": extra}))
    ]


def _suite(requirements: list[Requirement]) -> Iterator[Check]:
    """dm_control and MuJoCo, which must fit one another, and what else the extra `suite` holds."""
    name = "dm_control, MuJoCo"
    dm_control, mujoco = installed("dm_control"), installed("mujoco")
    if dm_control is None:
        found = "dm_control is not installed (optional: the environments distracting_control/…)"
        yield Check(name, "ok", f"{found}: {simulator.install_command()}")
        return
    found = f"{dm_control}, {mujoco or 'not installed'}"
    together = f"dm_control {simulator.DM_CONTROL} goes with MuJoCo {simulator.MUJOCO}"
    if mujoco is not None and simulator.fit((dm_control, mujoco)):
        yield Check(name, "ok", f"{found}: they go together")
    else:
        yield Check(name, "problem", f"{found}, but {together}", simulator.install_command())
    pair = ("dm_control", "mujoco")
    checks = (package(requirement) for requirement in requirements if requirement.name not in pair)
    yield from (check for check in checks if check.status != "ok")


def _robosuite(requirements: list[Requirement]) -> Iterator[Check]:
    if installed("robosuite") is None:
        yield Check("robosuite", "ok", "not installed (optional: core-repr[robosuite])")
        return
    for check in map(package, requirements):
        if check.name == "robosuite" or check.status != "ok":
            yield check
