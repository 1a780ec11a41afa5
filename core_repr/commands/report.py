"""``core-repr report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class Report:
    """Makes tables of a campaign's results, the paper's figures beside them.

    Attributes:
        results: The campaign's folder, or its results.csv.
        output: Markdown file to write them to; printed by default.
    """

    results: tyro.conf.Positional[Path]
    output: Path | None = None

    def __call__(self) -> int:
        """Makes the tables."""
        from core_repr.campaign.report import read_rows, report
        from core_repr.files.places import check_file

        if self.output is not None:
            check_file(self.output)
        rows = read_rows(self.results)
        if not rows:
            raise ValueError(f"{self.results} holds no finished training yet.")
        text = report(rows)
        if self.output is None:
            print(text, end="")
        else:
            self.output.write_text(text)
            print(f"{self.output} holds the tables of {len(rows)} trainings")
        return 0
