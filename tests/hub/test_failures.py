"""Everything that goes wrong between here and the Hub ends in one plain sentence."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from local_hub import LocalHub
from repositories import Repository

from core_repr import zoo
from core_repr.config import CoReConfig
from core_repr.files.names import CONFIG_FILE, MAX_CONFIG_BYTES, MODEL_FILE
from core_repr.hub import errors as hub_errors
from core_repr.world_model import CoReWorldModel

REPOSITORY = "user/cartpole"
INFO = "GET /api/models/[^/]+/[^/]+$"
PATHS = "/paths-info/"
HEAD = "HEAD .*safetensors"
LARGE = "GET /object/"
SMALL = "GET .*/resolve/.*config.json"


@pytest.fixture
def other(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    """A model that the Hub does not have yet."""
    torch.manual_seed(1)
    return CoReWorldModel(tiny_config())


@pytest.fixture(autouse=True)
def published(hub: LocalHub, files: dict[str, bytes], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    hub.add(REPOSITORY, files)


def refusal(act: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises((OSError, ValueError)) as caught:
        act()
    message = str(caught.value)
    assert type(caught.value) is kind, repr(caught.value)
    assert "\n" not in message and message.endswith(".") and message.count(". ") == 0, message
    return message


def load() -> CoReWorldModel:
    return CoReWorldModel.from_pretrained(REPOSITORY)


def assert_nothing_is_left(hub: LocalHub) -> None:
    """No file of weights in the cache, whole or in part, that a later call would take."""
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.safetensors"))


@pytest.mark.parametrize("where", [INFO, PATHS, HEAD, LARGE])
@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, PermissionError, "does not accept your token"),
        (403, PermissionError, "Your token may not"),
        (429, OSError, "asks you to wait"),
        (500, OSError, "fails at present"),
        (503, OSError, "fails at present"),
    ],
)
def test_a_status_in_a_download(
    hub: LocalHub, where: str, status: int, kind: type[Exception], words: str
) -> None:
    hub.fail(status, where, times=100)
    message = refusal(load, kind)
    if status == 401 and where != LARGE:
        # The Hub answers 401 for repositories that one may not see.
        assert "no model of that name that you may see" in message or words in message
    else:
        assert words in message and str(status) in message
    assert_nothing_is_left(hub)
    hub.faults.clear()
    load()


@pytest.mark.parametrize("where", [INFO, PATHS, HEAD, LARGE, SMALL])
@pytest.mark.parametrize("kind", ["drop", 500])
def test_what_failed_once_is_asked_again_within_the_call(
    hub: LocalHub, model: CoReWorldModel, where: str, kind: str | int
) -> None:
    hub.fail(kind, where)
    assert torch.equal(load().dynamics.cell.norm.weight, model.dynamics.cell.norm.weight)
    assert hub.faults[0].times == 0


@pytest.mark.parametrize("where", [LARGE, SMALL])
def test_a_download_that_was_cut_goes_on_where_it_was(hub: LocalHub, where: str) -> None:
    hub.fail("cut", where)
    load()
    assert sum("GET" in r and ("/object/" in r or "config.json" in r) for r in hub.requests) == 3


@pytest.mark.parametrize("where", [INFO, PATHS, HEAD, LARGE])
def test_a_connection_that_is_cut_again_and_again(hub: LocalHub, where: str) -> None:
    hub.fail("drop", where, times=100)
    assert "cut, again and again" in refusal(load, ConnectionError)
    assert_nothing_is_left(hub)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", [INFO, PATHS, HEAD, LARGE])
def test_a_silent_hub(hub: LocalHub, where: str) -> None:
    hub.fail("hang", where, times=100)
    assert "did not answer in time" in refusal(load, TimeoutError)
    assert_nothing_is_left(hub)


def test_a_wrong_checksum_is_fetched_again(hub: LocalHub, model: CoReWorldModel) -> None:
    hub.fail("corrupt", LARGE)
    assert torch.equal(load().dynamics.cell.norm.weight, model.dynamics.cell.norm.weight)


@pytest.mark.parametrize("where", [LARGE, SMALL])
def test_a_wrong_checksum_is_refused_and_forgotten(hub: LocalHub, where: str) -> None:
    hub.fail("corrupt", where, times=2)
    assert "another checksum" in refusal(load, OSError)
    load()


def test_a_damaged_cache_is_noticed(hub: LocalHub) -> None:
    load()
    [blob] = Path(constants.HF_HUB_CACHE).rglob("model.safetensors")
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.resolve().write_bytes(content)
    assert "differed from its checksum" in refusal(load, OSError)
    load()


def test_a_link_out_of_the_cache_is_removed_and_its_target_stays(
    hub: LocalHub, tmp_path: Path
) -> None:
    load()
    [link] = Path(constants.HF_HUB_CACHE).rglob("model.safetensors")
    mine = tmp_path / "model.safetensors"
    mine.write_bytes(b"my own work")
    link.unlink()
    link.symlink_to(mine)
    refusal(load, OSError)
    assert mine.read_bytes() == b"my own work"
    load()


def test_a_repository_that_does_not_exist(hub: LocalHub) -> None:
    message = refusal(lambda: CoReWorldModel.from_pretrained("user/nothing"), FileNotFoundError)
    assert "'user/nothing'" in message and "hf auth login" in message


def test_a_revision_that_does_not_exist(hub: LocalHub) -> None:
    def load_old() -> object:
        return CoReWorldModel.from_pretrained(REPOSITORY, revision="v9")

    assert "no revision 'v9'" in refusal(load_old, FileNotFoundError)


def test_a_commit_that_does_not_exist(hub: LocalHub) -> None:
    def load_old() -> object:
        return CoReWorldModel.from_pretrained(REPOSITORY, revision="0" * 40)

    assert "no revision" in refusal(load_old, FileNotFoundError)


@pytest.mark.parametrize("name", [CONFIG_FILE, MODEL_FILE])
def test_a_file_that_does_not_exist(hub: LocalHub, files: dict[str, bytes], name: str) -> None:
    del files[name]
    hub.add("user/half", files)
    message = refusal(lambda: CoReWorldModel.from_pretrained("user/half"), FileNotFoundError)
    assert f"no {name!r}" in message


def test_a_gated_model(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[REPOSITORY].gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    message = refusal(load, PermissionError)
    assert f"ask for access at {hub.endpoint}/{REPOSITORY}" in message


def test_a_wrong_token(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "does not accept your token" in refusal(load, PermissionError)


def test_too_large_a_file_is_not_fetched(
    hub: LocalHub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPOSITORY, {"config.json": b" " * (MAX_CONFIG_BYTES + 1)})
    assert "was not fetched" in refusal(load, ValueError)
    assert not any("/resolve/" in request for request in hub.requests)


def test_a_server_that_is_no_hub(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[REPOSITORY].resolve = lambda _: None  # type: ignore[method-assign]
    refusal(load, FileNotFoundError)
    for url in ("http://127.0.0.1:1", "http://", "nonsense://x"):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        assert "cannot be reached" in refusal(load, ConnectionError)


UPLOADS = ["POST /api/repos/create", "preupload", "objects/batch", "PUT /upload", "/commit/"]


@pytest.mark.parametrize("where", UPLOADS)
@pytest.mark.parametrize("kind", [403, 500, "drop", "cut-request"])
def test_an_upload_that_fails_leaves_no_half_model(
    hub: LocalHub, other: CoReWorldModel, where: str, kind: str | int
) -> None:
    hub.fail(kind, where, times=100)
    with pytest.raises(OSError) as caught:
        other.push_to_hub("user/new")
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    repository = hub.repositories.get("user/new", Repository())
    assert all(files == {} for files in repository.commits.values())
    hub.faults.clear()
    other.push_to_hub("user/new")
    CoReWorldModel.from_pretrained("user/new")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", UPLOADS)
def test_a_silent_hub_ends_an_upload(hub: LocalHub, other: CoReWorldModel, where: str) -> None:
    hub.fail("hang", where, times=100)
    assert "did not answer in time" in refusal(lambda: other.push_to_hub("user/new"), TimeoutError)


def test_an_update_that_fails_leaves_the_old_model(
    hub: LocalHub, model: CoReWorldModel, other: CoReWorldModel
) -> None:
    hub.fail("drop", "/commit/", times=100)
    with pytest.raises(ConnectionError):
        other.push_to_hub(REPOSITORY)
    hub.faults.clear()
    assert torch.equal(load().dynamics.cell.norm.weight, model.dynamics.cell.norm.weight)


def test_a_reader_cannot_push(hub: LocalHub, other: CoReWorldModel) -> None:
    def push(repository: str, token: str) -> Callable[[], str]:
        return lambda: other.push_to_hub(repository, token=token)

    assert "may not" in refusal(push("reader/new", "hf_reader"), PermissionError)
    assert "may not" in refusal(push("other/new", "hf_writer"), PermissionError)


def test_an_anonymous_push(
    hub: LocalHub, other: CoReWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    message = refusal(lambda: other.push_to_hub("user/new"), PermissionError)
    assert "hf auth login" in message


def test_offline_push(
    hub: LocalHub, other: CoReWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = refusal(lambda: other.push_to_hub("user/new"), ConnectionError)
    assert "HF_HUB_OFFLINE" in message


# Secrets, and what others of the process see


@pytest.mark.parametrize(
    "token", ["hf_SECRET\n", "SECRET\r\n", " SECRET", "SEC RET", "SECRÉT", "", "\n", "SECRET\x00"]
)
def test_a_token_that_cannot_be_one_is_refused_and_never_printed(
    model: CoReWorldModel, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for act in (
        lambda: CoReWorldModel.from_pretrained(REPOSITORY, token=token),
        lambda: model.push_to_hub("user/new", token=token),
    ):
        with pytest.raises(PermissionError, match="The token of the Hub is empty or") as seen:
            act()
        told = "".join(traceback.format_exception(seen.value)) + caplog.text
        assert not token.strip() or token.strip() not in told


@pytest.mark.parametrize("token", ["hf_SECRÉT", "hf_SEC RET", "hf_SEC\x7fRET"])
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_token_of_the_surroundings_is_never_printed(
    token: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    load()  # The client would take what the cache has, with a warning that names the token.
    caplog.set_level(logging.DEBUG)
    if place == "environment":
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        monkeypatch.delenv("HF_TOKEN")
        (tmp_path / "token").write_text(token)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for act in (load, lambda: zoo.find(REPOSITORY)):
        with pytest.raises(PermissionError, match="The token of the Hub is empty or") as seen:
            act()
        assert "SEC" not in str(seen.value) and "SEC" not in caplog.text
    CoReWorldModel.from_pretrained(REPOSITORY, token=False)
    CoReWorldModel.from_pretrained(REPOSITORY, local_files_only=True)


def test_what_the_hub_says_of_a_token_is_not_repeated(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("https://me:SECRET@hub/x with api_SECRET and Bearer hf_SECRET was refused")

    monkeypatch.setattr(huggingface_hub.HfApi, "resolve_revision", fail)
    with pytest.raises(ValueError, match="was refused") as seen:
        CoReWorldModel.from_pretrained(REPOSITORY, token="api_SECRET")
    assert "SECRET" not in str(seen.value)
    assert seen.value.__cause__ is None and seen.value.__suppress_context__


def test_an_address_of_the_hub_with_a_password_is_not_printed(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = hub.endpoint.replace("://", "://me:SECRET@").rsplit(":", 1)[0] + ":9"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    assert "SECRET" not in refusal(load, ConnectionError)


def test_the_clients_own_settings_stay_as_they_are(hub: LocalHub) -> None:
    client = huggingface_hub.get_session()
    before = client.timeout, list(client.event_hooks["request"])
    seen = []

    def work() -> None:
        load()
        seen.append(client.timeout)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert huggingface_hub.get_session() is client and seen == [before[0]] * 8
    assert (client.timeout, client.event_hooks["request"]) == before


def test_requests_of_other_threads_have_no_time_limit_of_ours(hub: LocalHub) -> None:
    client = huggingface_hub.get_session()

    def limits() -> dict[str, float | None]:
        response = client.get(f"{hub.endpoint}/api/models/{REPOSITORY}")
        return dict(response.request.extensions["timeout"])

    others = []
    with hub_errors.patient():
        ours = limits()
        thread = threading.Thread(target=lambda: others.append(limits()))
        thread.start()
        thread.join()
        assert client.get(f"{hub.endpoint}/", timeout=7).request.extensions["timeout"]["read"] == 7
    assert ours["read"] == hub_errors.SECONDS_TO_ANSWER
    assert others == [limits()] and set(others[0].values()) == {None}


# A cache without links


@pytest.fixture
def unlinked(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    return Path(constants.HF_HUB_CACHE)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("offline", [False, True])
def test_without_links_what_changed_in_the_cache_is_noticed(
    hub: LocalHub, unlinked: Path, name: str, offline: bool
) -> None:
    expected = load().config
    [path] = unlinked.rglob(name)
    assert not path.is_symlink()
    asked = len(hub.requests)
    assert CoReWorldModel.from_pretrained(REPOSITORY, local_files_only=True).config == expected
    assert len(hub.requests) == asked
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    act = lambda: CoReWorldModel.from_pretrained(REPOSITORY, local_files_only=offline)  # noqa: E731
    assert f"{path} was damaged" in refusal(act, OSError)
    assert not path.exists() and load().config == expected


def test_without_links_and_records_the_hub_is_asked_or_a_warning_is_given(
    hub: LocalHub, unlinked: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load()
    for record in unlinked.rglob("core-repr/*.json"):
        record.unlink()
    caplog.set_level(logging.WARNING)
    CoReWorldModel.from_pretrained(REPOSITORY, local_files_only=True)
    assert "cannot be compared with a checksum" in caplog.text
    [path] = unlinked.rglob("config.json")
    path.write_text(path.read_text().replace("0.99", "0.98"))
    assert "was damaged" in refusal(load, OSError)


def test_a_cache_is_found_in_the_home_folder(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    CoReWorldModel.from_pretrained(REPOSITORY, cache_dir="~/hub")
    assert list((tmp_path / "home" / "hub").rglob("config.json"))
