"""``core-repr report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class Report:
    """Makes tables and figures of a campaign's results, the paper's figures beside them.

    Attributes:
        results: The campaign's folder, or its results.csv.
        output: Markdown file to write the tables to, and the figures into a folder of its name
            beside it; by default, the tables are printed.
    """

    results: tyro.conf.Positional[Path]
    output: Path | None = None

    def __call__(self) -> int:
        """Makes the tables."""
        from core_repr.campaign.report import report, write
        from core_repr.campaign.results import CURVES_FILE, read_rows
        from core_repr.files.places import check_file, user_path

        if self.output is not None:
            if self.output.suffix != ".md":
                raise ValueError(f"--output must be a Markdown file, .md, not {self.output}.")
            check_file(self.output)
        rows = read_rows(self.results)
        if not rows:
            raise ValueError(f"{self.results} holds no finished training yet.")
        if self.output is None:
            print(report(rows).text, end="")
            return 0
        place = user_path(self.results)
        curves = (place if place.is_dir() else place.parent) / CURVES_FILE
        drawn = write(rows, read_rows(curves) if curves.is_file() else [], self.output)
        print(f"{self.output} holds the tables of {len(rows)} trainings, and {len(drawn)} figures")
        return 0
