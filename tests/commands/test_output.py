"""What commands print where the terminal knows few characters, and when nobody reads any more."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core_repr import cli
from core_repr.commands import output

COMMAND = [sys.executable, "-c", "import sys; from core_repr.cli import main; sys.exit(main())"]


class Ascii(io.TextIOWrapper):
    """A terminal that knows ascii alone; ``fileno`` is that of a file."""

    def __init__(self, path: Path, errors: str = "strict") -> None:
        super().__init__(path.open("wb"), encoding="ascii", errors=errors)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("565.2 ± 7.6, 72×72 – R² …", "565.2 +- 7.6, 72x72 - R2 ..."),
        ("é ü ñ", "e u n"),
        ("手 ✓ ✗ →", "? + x ->"),
    ],
)
def test_the_terminal_gets_what_it_can_print(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, printed: str
) -> None:
    stream = Ascii(tmp_path / "printed")
    monkeypatch.setattr(sys, "stdout", stream)
    with output.forgiving():
        print(text)
    assert stream.errors == "strict"
    stream.flush()
    assert (tmp_path / "printed").read_text() == f"{printed}\n"


def test_the_bytes_of_a_name_that_is_not_text_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stream = io.TextIOWrapper((tmp_path / "printed").open("wb"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    with output.forgiving():
        print(os.fsdecode(b"\xff.mp4"), "\ud800", "±")
    stream.flush()
    assert (tmp_path / "printed").read_bytes() == b"\xff.mp4 ? \xc2\xb1\n"


def test_who_has_chosen_a_way_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = Ascii(tmp_path / "printed", errors="xmlcharrefreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    with output.forgiving():
        print("±")
    stream.flush()
    assert (tmp_path / "printed").read_text() == "&#177;\n"


def test_a_closed_output_swallows_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["zoo", "list"]) == 0
    assert sys.stdout is None


class Renderer:
    """Ends as a module's destructor does."""

    def __init__(self, room: str) -> None:
        names: dict[str, Any] = {"__name__": room}
        exec("def free(): raise AttributeError('no context')", names)
        self.free = names["free"]

    def __del__(self) -> None:
        self.free()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_renderers_that_never_started_are_cleared_away_quietly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(unraisable.object))
    with output.forgiving():
        Renderer("gymnasium.envs.mujoco.mujoco_rendering")
        assert not said
        Renderer("mine")
        assert len(said) == 1


def without_a_reader(*typed: str, **options: Any) -> tuple[int, str]:
    """Runs a command whose output nobody reads; returns its status and what it said as error."""
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [*COMMAND, *typed], stdout=writer, stderr=subprocess.PIPE, text=True, **options
    )
    os.close(writer)
    return process.returncode, process.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    [
        ["--help"],
        ["train", "--help"],
        ["zoo", "list"],
        ["zoo", "info", "cartpole-swingup-easy-v0"],
        ["zoo", "verify", "cartpole-swingup-easy-v0"],
    ],
)
def test_without_a_reader_a_command_ends_quietly(typed: list[str]) -> None:
    assert without_a_reader(*typed) == (output.CLOSED_PIPE, "")


@pytest.mark.slow
def test_without_a_reader_of_errors_a_command_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([*COMMAND, "evaluate", "nothing"], stdout=writer, stderr=writer)
    os.close(writer)
    assert process.returncode == output.CLOSED_PIPE


def test_another_broken_pipe_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("core_repr.zoo.list_models", fail)
    assert cli.main(["zoo", "list"]) == 1
    assert "Broken pipe" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_a_full_disk_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [*COMMAND, "zoo", "list"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert process.returncode == 1
    assert "No space left" in process.stderr and "Traceback" not in process.stderr
    assert "Exception ignored" not in process.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    [
        ["zoo", "list"],
        ["zoo", "info", "cartpole-swingup-easy-v0"],
        ["train", "--help"],
        ["bench", "update", "--preset", "compact", "--rounds", "1"],
        ["evaluate", "cartpole-swingup-easy-v0", "--episodes", "2"],
    ],
)
def test_every_command_prints_in_ascii(typed: list[str]) -> None:
    process = subprocess.run(
        [*COMMAND, *typed], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True
    )
    assert process.returncode == 0, process.stderr
    process.stdout.decode("ascii")
    if typed[0] == "evaluate":
        assert b" +- " in process.stdout
