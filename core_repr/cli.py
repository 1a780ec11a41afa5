"""The command line: ``core-repr train | evaluate | demo | bench | download | zoo | doctor``."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import tyro

from core_repr.commands.bench import Bench
from core_repr.commands.demo import Demo
from core_repr.commands.doctor import Doctor
from core_repr.commands.download import Download
from core_repr.commands.evaluate import Evaluate
from core_repr.commands.train import Train, config_of
from core_repr.commands.zoo import Zoo
from core_repr.config import PRESETS, CoReConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: What was typed; ``sys.argv[1:]`` by default.

    Returns:
        The exit status: 0 for success, 1 for an error, 130 when it was interrupted.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    command = tyro.cli(
        _commands(_starting_point(typed)),
        prog="core-repr",
        description="CoRe: robust representations for robot learning.",
        args=typed,
    )
    try:
        return int(command())
    except KeyboardInterrupt:
        return 130
    except (ValueError, TypeError, OSError, ArithmeticError, gym.error.Error) as error:
        print(f"core-repr: {error}", file=sys.stderr)
        return 1


def _starting_point(typed: Sequence[str]) -> CoReConfig:
    """The preset or the model must be known first: other settings' defaults follow from it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="compact")
    parser.add_argument("--from", dest="model")
    preset, model = "compact", None
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        known = parser.parse_known_args(typed)[0]
        preset, model = known.preset, known.model
    if model is not None and typed[0] == "train":
        # A model that cannot be read is refused by the command itself.
        with contextlib.suppress(ValueError, OSError):
            return config_of(model)
    return PRESETS[preset]()


def _commands(config: CoReConfig) -> Any:
    return tyro.extras.subcommand_type_from_defaults(
        {
            "train": Train(world_model=config.world_model, loss=config.loss, agent=config.agent),
            "evaluate": Evaluate(tyro.MISSING),
            "demo": Demo(),
            "bench": Bench(tyro.MISSING),
            "download": Download(tyro.MISSING),
            "zoo": Zoo(tyro.MISSING),
            "doctor": Doctor(),
        }
    )
