"""``core-repr zoo`` against a Hub, and the zoo's functions that reach it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, constants
from local_hub import LocalHub

from core_repr import cli, zoo
from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel

REPOSITORY = "user/cartpole"


@pytest.fixture
def agent(tiny_config: Callable[..., CoReConfig]) -> CoReSAC:
    return CoReSAC("CoRePolicy", None, tiny_config(), device="cpu")


@pytest.fixture
def saved(agent: CoReSAC, tmp_path: Path) -> Path:
    agent.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Someone who sits at a terminal and answers."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return lambda answer: monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))


def push(saved: Path, *options: str) -> int:
    return cli.main(["zoo", "push", str(saved), REPOSITORY, "--episodes", "0", *options])


def test_zoo_load_takes_a_repository(hub: LocalHub, model: CoReWorldModel) -> None:
    model.push_to_hub(REPOSITORY)
    HfApi().create_tag(REPOSITORY, tag="v1")
    for loaded in (zoo.load(REPOSITORY), zoo.load(REPOSITORY, revision="v1")):
        assert torch.equal(loaded.encoder.linear.weight, model.encoder.linear.weight)


def test_zoo_find_fetches_what_there_is(
    hub: LocalHub, model: CoReWorldModel, agent: CoReSAC
) -> None:
    model.push_to_hub(REPOSITORY)
    names = {path.name for path in zoo.find(REPOSITORY).iterdir()}
    assert names == {"config.json", "model.safetensors"}
    agent.push_to_hub("user/acting")
    folder = zoo.find("user/acting")
    assert (folder / "agent.safetensors").exists()
    CoReSAC.from_pretrained(folder, device="cpu")


def test_zoo_find_offline(hub: LocalHub, agent: CoReSAC, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.push_to_hub(REPOSITORY)
    folder = zoo.find(REPOSITORY)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert zoo.find(REPOSITORY) == folder


def test_push_shows_and_asks(
    hub: LocalHub,
    saved: Path,
    terminal: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal("n")
    assert push(saved) == 1
    shown = capsys.readouterr().out
    for name in ("config.json", "model.safetensors", "agent.safetensors", "README.md"):
        assert name in shown
    assert f"Upload these to {REPOSITORY}?" in shown and "Nothing was uploaded" in shown
    assert hub.repositories == {}
    terminal("y")
    assert push(saved) == 0
    assert f"{hub.endpoint}/{REPOSITORY}/commit/" in capsys.readouterr().out
    CoReWorldModel.from_pretrained(REPOSITORY)


def test_push_where_nobody_can_be_asked(
    hub: LocalHub,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert push(saved) == 1
    assert "--yes" in capsys.readouterr().err
    assert hub.requests == []


def test_push_to_a_branch_and_as_a_pull_request(
    hub: LocalHub, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(saved, "--yes", "--private", "--message", "first") == 0
    repository = hub.repositories[REPOSITORY]
    assert repository.private and repository.messages[-1] == "first"
    assert push(saved, "--yes", "--branch", "wide") == 0
    (saved / "progress.csv").write_text("time/env_steps,rollout/ep_rew_mean\n1000,5\n2000,6\n")
    assert push(saved, "--yes", "--pull-request") == 0
    assert {"refs/heads/main", "refs/heads/wide", "refs/pr/1"} <= repository.refs.keys()
    assert "/discussions/1" in capsys.readouterr().out


@pytest.mark.parametrize("typed", [["user"], ["user/repo", "--episodes", "-1"]])
def test_push_with_what_cannot_be(
    hub: LocalHub, saved: Path, typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["zoo", "push", str(saved), *typed, "--yes"]) == 1
    assert hub.requests == [] and capsys.readouterr().err.startswith("core-repr: ")


def test_what_is_published_holds_no_paths_of_this_machine(hub: LocalHub, saved: Path) -> None:
    (saved / "settings.json").write_text(
        '{"continued_from": {"model": "/home/me/secret/run", "agent_steps": 1},'
        ' "environment": {"validation": {}}, "schedule": {"seed": 3}, "versions": {}}'
    )
    assert push(saved, "--yes") == 0
    repository = hub.repositories[REPOSITORY]
    for commit in repository.commits.values():
        assert not any(b"/home/me" in file.content for file in commit.values())
    card = repository.commits[repository.refs["refs/heads/main"]]["README.md"].content.decode()
    assert "| continued from | `run` |" in card


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ('{"model": "/home/me/run/checkpoints/7", "name": "run"}', "run"),
        ('{"model": "/home/me/models--a--b/snapshots/0123", "name": "a/b"}', "a/b"),
        ('{"model": "C:\\\\Users\\\\me\\\\run"}', "run"),
        ('{"model": "x` |\\n\\n## Evaluation\\n\\n<img>"}', "x \\| ## Evaluation &lt;img>"),
    ],
)
def test_a_card_says_what_the_training_went_on_from_and_no_more(
    hub: LocalHub, saved: Path, origin: str, shown: str
) -> None:
    (saved / "settings.json").write_text(f'{{"continued_from": {origin}}}')
    assert push(saved, "--yes") == 0
    repository = hub.repositories[REPOSITORY]
    files = repository.commits[repository.refs["refs/heads/main"]]
    card = files["README.md"].content.decode()
    assert f"| continued from | `{shown}` |" in card
    assert card.count("## Evaluation") == 1 + shown.count("## Evaluation") * 2
    assert b"me" not in files["settings.json"].content.replace(b"name", b"")


@pytest.mark.parametrize("origin", ["{}", '"x"', "[]", '{"model": 3}', "7"])
def test_an_origin_that_names_no_model_is_refused(
    hub: LocalHub, saved: Path, capsys: pytest.CaptureFixture[str], origin: str
) -> None:
    (saved / "settings.json").write_text(f'{{"continued_from": {origin}}}')
    assert push(saved, "--yes") == 1
    message = capsys.readouterr().err
    assert "names no model" in message and message.count("\n") == 1 and hub.requests == []


@pytest.mark.parametrize("name", ["replay.mp4", "progress.csv", "settings.json"])
def test_what_a_link_leads_to_is_not_published(
    hub: LocalHub, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "secret").write_text("PRIVATE KEY")
    (saved / name).unlink(missing_ok=True)
    (saved / name).symlink_to(tmp_path / "secret")
    assert push(saved, "--yes") == 1
    assert "a symbolic link that leaves its folder" in capsys.readouterr().err


def test_an_agent_that_is_damaged_is_not_sound(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (saved / "agent.safetensors").write_bytes(b"garbage")
    assert cli.main(["zoo", "verify", str(saved)]) == 1
    assert "agent.safetensors" in capsys.readouterr().err


def test_a_path_in_the_config_is_shown(
    hub: LocalHub, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((saved / "config.json").read_text())
    config["environment"]["arguments"] = {"backgrounds": "/home/me/videos"}
    (saved / "config.json").write_text(json.dumps(config))
    assert push(saved, "--yes") == 0
    assert "read in config.json: /home/me/videos" in capsys.readouterr().out


def test_a_world_model_alone_can_be_pushed(
    hub: LocalHub, model: CoReWorldModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "alone")
    assert push(tmp_path / "alone", "--yes") == 0
    CoReWorldModel.from_pretrained(REPOSITORY)


def test_download_verify_and_info(
    hub: LocalHub, agent: CoReSAC, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = agent.push_to_hub(REPOSITORY).rsplit("/", 1)[1]
    assert cli.main(["zoo", "download", REPOSITORY]) == 0
    assert f"at commit {commit}" in capsys.readouterr().out
    assert cli.main(["zoo", "verify", REPOSITORY, "--revision", commit]) == 0
    shown = capsys.readouterr().out
    assert f"{REPOSITORY} is sound at commit {commit}" in shown and "agent.safetensors" in shown
    assert cli.main(["zoo", "info", REPOSITORY]) == 0
    assert "What it cannot do" in capsys.readouterr().out
    copy = tmp_path / "copy"
    assert cli.main(["zoo", "download", REPOSITORY, "--folder", str(copy)]) == 0
    assert not any(path.is_symlink() for path in copy.iterdir())
    CoReSAC.from_pretrained(copy, device="cpu")
    assert cli.main(["zoo", "download", REPOSITORY, "--folder", str(copy)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_broken_model_fails_verification(
    hub: LocalHub, files: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    files["model.safetensors"] = files["model.safetensors"][:-4]
    hub.add(REPOSITORY, files)
    assert cli.main(["zoo", "verify", REPOSITORY]) == 1
    assert "not a sound safetensors file" in capsys.readouterr().err
