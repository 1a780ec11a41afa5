"""``core-repr config``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass
class Show:
    """Prints every setting, as train --config reads it.

    Attributes:
        preset: Sizes and settings: compact for a laptop's CPU, paper for a GPU.
        variant: A system of the paper, as a change of the preset.
        model: Of a model instead: a zoo name, a folder or a Hub repository.
        format: yaml or json.
    """

    preset: Literal["compact", "paper"] = "compact"
    variant: Annotated[str, tyro.conf.arg(metavar="NAME")] = "core"
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    format: Annotated[Literal["yaml", "json"], tyro.conf.arg(name="format")] = "yaml"

    def __call__(self) -> int:
        """Prints the settings."""
        from core_repr import zoo
        from core_repr.config import PRESETS, make_variant
        from core_repr.config.settings_file import write_settings
        from core_repr.hub.model_folder import load_config

        if self.model is not None:
            config = load_config(zoo.find(self.model))
        else:
            config = make_variant(PRESETS[self.preset](), self.variant)
        print(write_settings(config, self.format), end="")
        return 0


@dataclass
class Check:
    """Says whether a file of settings fits, and what it changes.

    Attributes:
        file: YAML or JSON.
        preset: For what the file does not name.
        variant: A system of the paper, as a change of the preset.
    """

    file: tyro.conf.Positional[Path]
    preset: Literal["compact", "paper"] = "compact"
    variant: Annotated[str, tyro.conf.arg(metavar="NAME")] = "core"

    def __call__(self) -> int:
        """Reads the file, and prints the differences."""
        import difflib

        from core_repr.config import PRESETS, make_variant
        from core_repr.config.settings_file import read_settings, write_settings

        base = make_variant(PRESETS[self.preset](), self.variant)
        read = read_settings(self.file, base)
        before, after = (write_settings(c, "lines").splitlines() for c in (base, read))
        changed = difflib.unified_diff(before, after, lineterm="", n=0)
        lines = [line for line in changed if not line.startswith(("---", "+++", "@@"))]
        print("\n".join(lines) if lines else f"{self.file} has the settings of {self.preset}")
        return 0


@dataclass
class Config:
    """Settings in a file: core-repr config show > mine.yaml, core-repr train --config mine.yaml.

    Attributes:
        action: What to do.
    """

    action: tyro.conf.OmitSubcommandPrefixes[
        tyro.conf.OmitArgPrefixes[
            Annotated[Show, tyro.conf.subcommand("show")]
            | Annotated[Check, tyro.conf.subcommand("check")]
        ]
    ]

    def __call__(self) -> int:
        """Does it."""
        return self.action()
