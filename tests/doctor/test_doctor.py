"""The doctor's table and exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core_repr import doctor
from core_repr.doctor import Check


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_a_problem_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: str,
    code: int,
) -> None:
    check = Check("thing", status, "seen [this]", "do that")  # type: ignore[arg-type]
    monkeypatch.setattr(doctor, "diagnose", lambda: [check])
    assert doctor.main() == code
    printed = capsys.readouterr().out
    assert "seen [this]" in printed and "do that" in printed


def test_importing_the_doctor_loads_nothing_heavy() -> None:
    heavy = ("mujoco", "torch", "stable_baselines3", "matplotlib", "dm_control")
    script = f"import sys, core_repr.doctor; print([n for n in {heavy} if n in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"
