"""Options that are too small are refused before anything is loaded."""

from __future__ import annotations

import pytest

from core_repr import cli


@pytest.mark.parametrize("command", ["evaluate", "probe", "record", "robustness", "demo", "pairs"])
@pytest.mark.parametrize("option", ["--episodes", "--seed"])
def test_numbers_that_are_too_small_are_refused_at_once(
    capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    where = {"record": ["one/latents-v0"], "pairs": ["x"]}.get(command, [])
    typed = [command, "there-is-no-such-model", *where, option, "-1"]
    assert cli.main(typed) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert f"{option} must be at least" in error and "-1" in error
