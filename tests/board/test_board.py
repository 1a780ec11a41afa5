"""The page for one's runs: what it finds, and that a browser shows it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from core_repr import cli
from core_repr.board.runs import differences, find_runs, standings


def make_run(folder: Path, seed: int, returns: list[float], **more: Any) -> Path:
    folder.mkdir(parents=True)
    settings = {
        "environment": {"id": "distracting_control/walker-walk-v0", "arguments": {"dynamic": True}},
        "schedule": {"env_steps": 1_000, "seed": seed},
        "versions": {"torch": str(seed)},
        **more,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    rows = [f"{100 * (i + 1)},{value},5.5" for i, value in enumerate(returns)]
    header = "time/env_steps,eval/mean_reward,train/contrastive_loss"
    (folder / "progress.csv").write_text("\n".join([header, *rows]) + "\n")
    lines = [
        json.dumps({"mean": v, "standard_error": 1.0, "imagined_reward_r2": {"3": 0.5}})
        for v in returns
    ]
    (folder / "evaluations.jsonl").write_text("\n".join(lines) + "\n" if lines else "")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_run(tmp_path / "walker" / "seed-0", 0, [10, 30, 20])
    make_run(tmp_path / "walker" / "seed-1", 1, [40])
    new = make_run(tmp_path / "<b>new</b>", 2, [])
    (new / "progress.csv").unlink()
    (new / "evaluations.jsonl").unlink()
    (tmp_path / "walker" / "seed-0" / "episode.mp4").touch()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "settings.json").write_text("{")
    return tmp_path


def test_a_campaign_s_runs_are_found_and_what_cannot_be_read_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "runs/cartpole-swingup/medium/core/seed-0"
    make_run(tmp_path / deep, 0, [1], schedule={"env_steps": None})
    locked = tmp_path / "lost+found"
    locked.mkdir()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked and may(path, mode))
    (found,) = find_runs(tmp_path)
    assert found.name == deep and found.goal is None


def test_what_is_found(runs: Path) -> None:
    found = {run.name: run for run in find_runs(runs)}
    assert list(found) == ["<b>new</b>", "walker/seed-0", "walker/seed-1"]
    first = found["walker/seed-0"]
    assert (first.steps, first.goal) == (300, 1_000)
    assert list(first.curves["eval/mean_reward"]) == [10, 30, 20]
    assert [video.name for video in first.videos] == ["episode.mp4"]
    assert found["<b>new</b>"].steps == 0
    assert differences([first, found["walker/seed-1"]]) == [
        {"setting": "schedule.seed", "walker/seed-0": "0", "walker/seed-1": "1"}
    ]
    row = standings([first])[0]
    assert (row["return"], row["best"], row["standard error"]) == (20, 30, 1.0)
    assert row["environment"] == "distracting_control/walker-walk-v0"
    (alone,) = find_runs(runs / "walker" / "seed-0")
    assert alone.name == "seed-0"
    with pytest.raises(FileNotFoundError, match="no folder"):
        find_runs(runs / "nothing")


def test_what_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("panel")
    assert cli.main(["board", str(tmp_path / "none")]) == 1
    assert "There is no folder" in capsys.readouterr().err
    assert cli.main(["board", str(tmp_path), "--port", "0"]) == 1
    assert "--port must be from 1" in capsys.readouterr().err
    assert cli.main(["board", str(tmp_path), "--seconds", "-1"]) == 1
    assert "--seconds must be at least 0" in capsys.readouterr().err


@pytest.mark.slow
def test_in_a_browser(runs: Path) -> None:
    pytest.importorskip("panel")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    typed = ["board", str(runs), "--no-open", "--port", str(port), "--seconds", "1"]
    command = [sys.executable, "-c", f"from core_repr import cli; cli.main({typed})"]
    server = subprocess.Popen(command)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(60):
            try:
                page = urllib.request.urlopen(address, timeout=10).read().decode()
                break
            except OSError:
                time.sleep(0.5)
        assert "core-repr board" in page
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert f"Port {port} cannot be used" in second.stderr and not second.stdout
        browser = shutil.which("chromium") or shutil.which("google-chrome")
        if browser is None:
            return
        sync_api = pytest.importorskip("playwright.sync_api")
        with sync_api.sync_playwright() as playwright:
            shown = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            tab = shown.new_page()
            tab.goto(address)

            def wait_for(text: str) -> Any:
                place = tab.locator(f"text={text} >> visible=true").first
                place.wait_for()
                return place

            wait_for("■ walker/seed-0")
            wait_for("Settings that differ").click()
            wait_for("schedule.seed")
            make_run(runs / "later", 3, [5])
            wait_for("later")
            assert not tab.locator("b", has_text="new").count()
            shown.close()
    finally:
        server.terminate()
        server.wait(10)
