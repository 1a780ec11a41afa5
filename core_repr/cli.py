"""The command line, ``core-repr``: a module of :mod:`core_repr.commands` for each command."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import tyro

from core_repr.commands import output
from core_repr.commands.bench import Bench
from core_repr.commands.brief_help import brief
from core_repr.commands.campaign import Campaign
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
from core_repr.commands.train import Train, train_by, train_from, train_with_preset
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
    command = tyro.cli(
        _commands(_starting_point(typed)),
        prog="core-repr",
        description="CoRe: robust representations for robot learning.",
        args=typed,
        # Which part stands in a slot follows from preset and variant.
        config=(tyro.conf.AvoidSubcommands,),
    )
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
        print(f"core-repr: {unrendered or error}", file=sys.stderr)
        return 1


def _starting_point(typed: Sequence[str]) -> Train:
    """Preset, model or recipe must be known first: other settings' defaults follow from it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="compact")
    parser.add_argument("--from", dest="model")
    parser.add_argument("--recipe")
    parser.add_argument("--variant", default="core")
    preset, model, recipe, variant = "compact", None, None, "core"
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        known = parser.parse_known_args(typed)[0]
        preset, model, recipe, variant = known.preset, known.model, known.recipe, known.variant
    if typed[:1] == ["train"]:
        # What cannot be read is refused by the command itself.
        with contextlib.suppress(ValueError, OSError):
            if recipe is not None:
                return train_by(recipe, model)
            if model is not None:
                return train_from(model)
    if variant not in VARIANTS:
        # The command itself refuses it.
        return replace(train_with_preset(preset), variant=variant)
    return train_with_preset(preset, variant)


def _commands(train: Train) -> Any:
    return tyro.extras.subcommand_type_from_defaults(
        {
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
            "demo": Demo(),
            "bench": Bench(tyro.MISSING),
            "download": Download(tyro.MISSING),
            "zoo": Zoo(tyro.MISSING),
            "doctor": Doctor(),
        }
    )
