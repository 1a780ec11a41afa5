"""Recipes: every setting of a training in a readable file, for ``core-repr train --recipe NAME``.

A recipe names each setting, also those that it shares with a preset, so that it stays the same
when a later release changes the preset.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from pydantic import StrictInt, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from core_repr.config import CoReConfig
from core_repr.config.fields import STRICT, sentence
from core_repr.environments import EnvironmentChoice
from core_repr.files.names import MAX_CONFIG_BYTES
from core_repr.files.reading import read_bounded
from core_repr.files.strict_json import parse_json
from core_repr.files.values import decode

__all__ = ["Recipe", "list_recipes", "load"]

FOLDER = Path(__file__).parent


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """What a training is started with.

    Attributes:
        description: What it is for, and what it was seen to reach.
        preset: The preset that it began as; for readers, nothing follows from it.
        environment: Where to train and to validate; ``None`` for the environment of the model
            that the training starts from.
        env_steps: Simulator steps, before action repeat; those of the model that the training
            starts from count too.
        seed: Seeds everything that is random.
        evaluation_interval: Training episodes between two evaluations.
        evaluation_episodes: Episodes of an evaluation.
        config: Sizes and settings; its environment follows from the training.
        continued_from: The model whose weights, sizes and environment the training starts from:
            a zoo name, a folder, seen from the working directory, or a Hub repository, whose
            newest commit counts.
        episode_steps: Agent steps after which a training episode is cut short; ``None`` for whole
            ones.
    """

    description: str
    preset: str
    environment: EnvironmentChoice | None
    env_steps: StrictInt
    seed: StrictInt
    evaluation_interval: StrictInt
    evaluation_episodes: StrictInt
    config: CoReConfig
    continued_from: str | None = None
    episode_steps: StrictInt | None = None

    @model_validator(mode="after")
    def _starts_once(self) -> Recipe:
        if (self.environment is None) == (self.continued_from is None):
            raise ValueError(
                "environment must be null where continued_from names a model, whose environment "
                "it is, and only there"
            )
        return self


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
    try:
        fields = parse_json(read_bounded(path, MAX_CONFIG_BYTES))
        if not isinstance(fields, dict):
            raise ValueError("it must be a JSON object")
        if "config" in fields:
            fields["config"] = CoReConfig.from_json(json.dumps(fields["config"]))
        if "environment" in fields:
            fields["environment"] = decode(fields["environment"])
        return Recipe(**fields)
    except ValidationError as error:
        raise ValueError(f"The recipe {path}: {sentence(error, of='recipe')}") from None
    except ValueError as error:
        raise ValueError(f"The recipe {path} does not fit: {str(error).rstrip('.')}.") from None
