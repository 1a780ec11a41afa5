"""The command line, ``core-repr``: a module of :mod:`core_repr.commands` for each command."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import io
import logging
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro

from core_repr.commands import output
from core_repr.commands.bench import Bench
from core_repr.commands.board import Board
from core_repr.commands.brief_help import brief
from core_repr.commands.campaign import Campaign
from core_repr.commands.config import Config
from core_repr.commands.demo import Demo
from core_repr.commands.doctor import Doctor
from core_repr.commands.download import Download
from core_repr.commands.evaluate import Evaluate
from core_repr.commands.export import Export
from core_repr.commands.pairs import Pairs
from core_repr.commands.picture import Picture
from core_repr.commands.probe import Probe
from core_repr.commands.record import Record
from core_repr.commands.report import Report
from core_repr.commands.robustness import Robustness
from core_repr.commands.train import (
    Train,
    train_by,
    train_from,
    train_with_preset,
    train_with_settings,
)
from core_repr.commands.zoo import Zoo
from core_repr.config import PRESETS, VARIANTS
from core_repr.envs.rendering import explain

EXPECTED = (ValueError, TypeError, OSError, ArithmeticError, ImportError)
"""Errors whose message says all that a user needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: What was typed; ``sys.argv[1:]`` by default.

    Returns:
        The exit status: 0 for success, 1 for an error, 130 when it was interrupted, 141 when
        nobody reads any more what it prints.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with output.forgiving():
        try:
            try:
                return _run(typed)
            finally:
                output.flush()
        except SystemExit as leaving:
            # So does rich end the program.
            if isinstance(leaving.__context__, BrokenPipeError):
                return output.CLOSED_PIPE
            raise
        except OSError as error:
            if isinstance(error, BrokenPipeError) and output.nobody_reads():
                return output.CLOSED_PIPE
            output.drop(sys.stdout)
            print(f"core-repr: what it prints cannot be written: {error}", file=sys.stderr)
            return 1


def _run(typed: list[str]) -> int:
    if typed[:1] == ["train"] and {"-h", "--help"} & {*typed}:
        tyro.cli(brief(_starting_point(typed)), prog="core-repr train", args=["--help"])
    if typed[:1] == ["train"]:
        typed = ["--help" if word == "--help-all" else word for word in typed]
    commands = _commands(_starting_point(typed))
    first = typed[0] if typed else ""
    if first not in commands and not first.startswith("-") and first:
        near = difflib.get_close_matches(first, commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(commands)}."
        print(f"core-repr: There is no command {first!r}; {hint}", file=sys.stderr)
        return 2
    try:
        with _one_sentence():
            command = tyro.cli(
                tyro.extras.subcommand_type_from_defaults(commands, _first_sentences(commands)),
                prog="core-repr",
                description="CoRe: robust representations for robot learning.",
                args=typed,
                # Which part stands in a slot follows from preset and variant.
                config=(tyro.conf.AvoidSubcommands,),
            )
    except _Refused as error:
        print(f"core-repr: {error}", file=sys.stderr)
        return 1
    try:
        return int(command())
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError as error:
        if output.nobody_reads():
            return output.CLOSED_PIPE
        print(f"core-repr: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        unrendered = explain(error)
        if unrendered is None and not isinstance(error, (*EXPECTED, gym.error.Error)):
            raise
        print(f"core-repr: {unrendered or _with_advice(error) + _place(error)}", file=sys.stderr)
        return 1


def _place(error: BaseException) -> str:
    """Where a user's own code raised an error, such as an environment of theirs; or nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    if error.__cause__ is not None:
        frames = traceback.extract_tb(error.__cause__.__traceback__) or frames
    for frame in reversed(frames):
        place = Path(frame.filename)
        if _PACKAGE in place.parents:
            return ""
        if place.is_file() and not any(folder in place.parents for folder in _INSTALLED):
            return f" ({place}, line {frame.lineno})"
    return ""


_PACKAGE = Path(__file__).parent
_INSTALLED = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]


def _with_advice(error: Exception) -> str:
    """What the system says of a disk that is full, where it does not say which."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return str(error)
    if error.strerror is None or error.filename is not None:
        return str(error)
    return f"{error.strerror}: make room on the disk that it writes to, and try again."


class _Refused(Exception):
    """Settings that do not fit, in a sentence."""


@contextlib.contextmanager
def _one_sentence() -> Iterator[None]:
    """Tells in a sentence what tyro tells in a box with a name of its own making.

    Raises:
        _Refused: If settings do not fit together.
    """
    caught = io.StringIO()
    try:
        with contextlib.redirect_stderr(caught):
            yield
    except SystemExit:
        text = caught.getvalue()
        lines = (line.strip(" │╭╰╮╯─") for line in text.splitlines())
        whole = " ".join(line for line in lines if line.strip("-"))
        found = re.search(rf"Error parsing {_INNER}\S*: (.+?)\s*(?:For full helptext|$)", whole)
        if found is not None:
            raise _Refused(f"{found[1].rstrip('.')}.") from None
        sys.stderr.write(text)
        raise
    sys.stderr.write(caught.getvalue())


_INNER = "__tyro-dummy-inner__"
"""What tyro calls the options of a command."""


def _first_sentences(commands: Mapping[str, Any]) -> dict[str, str]:
    """What each command does, for the list of them."""
    lines = {name: (command.__doc__ or "").strip() for name, command in commands.items()}
    return {name: line.splitlines()[0] for name, line in lines.items()}


def _starting_point(typed: Sequence[str]) -> Train:
    """Preset, model or recipe must be known first: other settings' defaults follow from it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="compact")
    parser.add_argument("--from", dest="model")
    parser.add_argument("--recipe")
    parser.add_argument("--config")
    parser.add_argument("--variant", default="core")
    preset, model, recipe, variant, settings = "compact", None, None, "core", None
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        known = parser.parse_known_args(typed)[0]
        preset, model, recipe, variant = known.preset, known.model, known.recipe, known.variant
        settings = known.config
    if typed[:1] == ["train"]:
        # What cannot be read is refused by the command itself.
        with contextlib.suppress(ValueError, OSError):
            if recipe is not None:
                return train_by(recipe, model)
            if model is not None:
                return train_from(model)
            if settings is not None:
                return train_with_settings(settings, preset, variant)
    if variant not in VARIANTS:
        # The command itself refuses it.
        return replace(train_with_preset(preset), variant=variant)
    return train_with_preset(preset, variant)


def _commands(train: Train) -> dict[str, Any]:
    return {
        "train": train,
        "evaluate": Evaluate(tyro.MISSING),
        "robustness": Robustness(tyro.MISSING),
        "probe": Probe(tyro.MISSING),
        "picture": Picture(tyro.MISSING, tyro.MISSING),
        "pairs": Pairs(tyro.MISSING, tyro.MISSING),
        "record": Record(tyro.MISSING, tyro.MISSING),
        "export": Export(tyro.MISSING),
        "campaign": Campaign(tyro.MISSING),
        "report": Report(tyro.MISSING),
        "board": Board(),
        "config": Config(tyro.MISSING),
        "demo": Demo(),
        "bench": Bench(tyro.MISSING),
        "download": Download(tyro.MISSING),
        "zoo": Zoo(tyro.MISSING),
        "doctor": Doctor(),
    }
