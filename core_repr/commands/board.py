"""``core-repr board``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from core_repr.commands.numbers import at_least


@dataclass
class Board:
    """Shows runs in the browser, live: curves, evaluations, settings that differ, videos.

    Attributes:
        folder: Of runs.
        port: Of the page, http://127.0.0.1:PORT.
        open: Open it in a browser.
        seconds: Between two looks at the folder; 0 for none.
    """

    folder: tyro.conf.Positional[Path] = Path("runs")
    port: int = 5006
    open: bool = True
    seconds: float = 10.0

    def __call__(self) -> int:
        """Serves the page until it is interrupted."""
        from core_repr.board.page import build_page, serve

        if not 0 < self.port < 65_536:
            raise ValueError(f"--port must be from 1 to 65535, not {self.port}.")
        at_least(0, seconds=self.seconds)
        # Or says what is wrong.
        build_page(self.folder, 0)
        serve(self.folder, self.port, self.open, self.seconds)
        return 0
