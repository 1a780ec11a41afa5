"""What users copy from the README runs as it stands, only shorter."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readme_s_ten_lines() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shorter, changes = re.subn(r"learn\(5_000, progress_bar=True\)", "learn(120)", blocks[0])
    assert changes == 1
    names: dict[str, object] = {}
    exec(shorter, names)
    assert names["env"].observation_space.shape == (264,)  # type: ignore[attr-defined]
    names["env"].close()  # type: ignore[attr-defined]


def test_pictures_that_the_readme_shows_are_there() -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert shown and all((ROOT / path).is_file() for path in shown)
