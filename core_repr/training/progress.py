"""``progress.csv``: a log that continues where it was."""

from __future__ import annotations

import csv
from pathlib import Path

from stable_baselines3.common.logger import CSVOutputFormat


class ProgressFile(CSVOutputFormat):
    """SB3's CSV log, which keeps the lines that the file holds already.

    Args:
        path: The file; made if there is none.
    """

    def __init__(self, path: Path) -> None:
        before = path.read_text() if path.exists() else ""
        super().__init__(str(path))
        self.file.write(before)
        self.file.flush()
        self.keys = next(csv.reader([before.partition("\n")[0]]), [])
