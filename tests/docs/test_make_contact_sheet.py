from __future__ import annotations

from pathlib import Path

import make_contact_sheet as contact_sheet
import numpy as np
import pytest
from PIL import Image

from core_repr.envs.distracting_control.tasks import PAPER_TASKS
from core_repr.envs.levels import LEVELS


def test_every_task_and_level_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}

    def frames_of(task: str, level: str | None, rendering: str, **_: object) -> np.ndarray:
        shown[rendering, level, task] = 100 + len(shown)
        # A shade of red, which the titles have not.
        return np.full((1, 8, 8, 3), (shown[rendering, level, task], 0, 0), np.uint8)

    monkeypatch.setattr(contact_sheet, "frames_of", frames_of)
    sheet = contact_sheet.contact_sheet(frame_size=8)
    assert len(shown) == 2 * (1 + len(LEVELS)) * len(PAPER_TASKS)
    found = {
        key: np.argwhere((sheet == (value, 0, 0)).all(axis=-1)) for key, value in shown.items()
    }
    assert {len(pixels) for pixels in found.values()} == {64}
    places = {key: tuple(pixels.min(axis=0)) for key, pixels in found.items()}
    assert len(set(places.values())) == len(shown)
    # Rows are tasks; columns are renderings and in them levels.
    for (rendering, level, task), (top, left) in places.items():
        assert top == places["full", None, task][0]
        assert left == places[rendering, level, "walker-walk"][1]
    lefts = [
        places[r, level, "walker-walk"][1] for r in ("full", "fast") for level in (None, *LEVELS)
    ]
    assert lefts == sorted(lefts)


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(contact_sheet, "PAPER_TASKS", ["cartpole-swingup"])
    monkeypatch.setattr(contact_sheet, "LEVELS", {"easy": LEVELS["easy"]})
    monkeypatch.setattr(contact_sheet, "TASKS", ["cartpole-balance", "fish-swim"])
    monkeypatch.setattr(contact_sheet, "GYMNASIUM_TASKS", ["Hopper-v5", "Reacher-v5"])
    contact_sheet.main(str(tmp_path), "renderings.png", "suite.jpg", "gymnasium.jpg")
    assert Image.open(tmp_path / "gymnasium.jpg").width > 500
    assert Image.open(tmp_path / "renderings.png").width > 400
    assert Image.open(tmp_path / "suite.jpg").width > 300
    assert "cartpole-swingup: none 1." in capsys.readouterr().out
