"""Recipes: every setting of a training in a readable file, for ``core-repr train --recipe NAME``.

A recipe names each setting, also those that it shares with a preset, so that it stays the same
when a later release changes the preset.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from pathlib import Path
from typing import Any

from core_repr.config import CoReConfig
from core_repr.files.names import MAX_CONFIG_BYTES
from core_repr.files.reading import read_bounded
from core_repr.files.strict_json import parse_json

__all__ = ["Recipe", "list_recipes", "load"]

FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a training is started with.

    Attributes:
        description: What it is for, and what it was seen to reach.
        preset: The preset that it began as; for readers, nothing follows from it.
        environment: Options of ``core-repr train`` that choose the environment, such as ``task``,
            ``difficulty``, ``camera``, ``num_videos``, ``rendering``.
        env_steps: Simulator steps, before action repeat.
        seed: Seeds everything that is random.
        evaluation_interval: Training episodes between two evaluations.
        evaluation_episodes: Episodes of an evaluation.
        config: Sizes and settings; its environment follows from the training.
        continued_from: The model whose weights, sizes and environment the training goes on from:
            a zoo name, a folder, seen from the working directory, or a Hub repository, whose
            newest commit counts; ``environment`` is empty then, and the steps of that model
            count in ``env_steps``.
    """

    description: str
    preset: str
    environment: dict[str, Any]
    env_steps: int
    seed: int
    evaluation_interval: int
    evaluation_episodes: int
    config: CoReConfig
    continued_from: str | None = None


def list_recipes() -> list[str]:
    """Returns the names of the recipes in the package, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> Recipe:
    """Reads a recipe.

    Args:
        name: Of one in the package, or the path of a ``.json`` file of the same form.

    Raises:
        FileNotFoundError: If there is none; the message lists near misses.
        ValueError: If it is broken or a field does not fit.
    """
    names = list_recipes()
    path = FOLDER / f"{name}.json" if name in names else Path(name)
    if name not in names and (path.suffix != ".json" or not path.is_file()):
        near = difflib.get_close_matches(name, names)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}."
        raise FileNotFoundError(f"{name!r} is neither a recipe nor a .json file; {hint}")
    content = read_bounded(path, MAX_CONFIG_BYTES)
    try:
        fields = parse_json(content)
        if not isinstance(fields, dict):
            raise ValueError("it must be a JSON object")
        return _fill(fields)
    except ValueError as error:
        raise ValueError(f"The recipe {path} does not fit: {str(error).rstrip('.')}.") from None


def _fill(fields: dict[str, Any]) -> Recipe:
    known = {field.name: field.type for field in dataclasses.fields(Recipe)}
    for names, what in (
        (known.keys() - fields.keys() - {"continued_from"}, "lacks"),
        (fields.keys() - known.keys(), "does not know"),
    ):
        if names:
            raise ValueError(f"it {what} the field {min(names)!r}")
    kinds = {"int": int, "str": str, "str | None": str, "dict[str, Any]": dict, "CoReConfig": dict}
    for name, value in fields.items():
        kind = kinds[str(known[name])]
        if type(value) is not kind:
            raise ValueError(f"its field {name!r} must be {kind.__name__}, not {value!r}")
    if "continued_from" in fields and fields["environment"]:
        raise ValueError(
            f"it goes on from {fields['continued_from']!r} in that model's environment, "
            "so its field 'environment' must be empty"
        )
    config = CoReConfig.from_json(json.dumps(fields["config"]))
    return Recipe(**{**fields, "config": config})
