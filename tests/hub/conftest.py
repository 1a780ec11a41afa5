"""The Hub's real client against a Hub on 127.0.0.1."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

sys.path.insert(0, str(Path(__file__).parent))

from local_hub import LocalHub

from core_repr.config import CoReConfig
from core_repr.hub import errors as hub_errors
from core_repr.world_model import CoReWorldModel


@pytest.fixture(scope="session")
def servers() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        yield hub


@pytest.fixture
def hub(servers: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    """An empty Hub, to which the client is logged in as "user", with an empty cache."""
    servers.forget()
    for name, value in {
        "ENDPOINT": servers.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": servers.endpoint
        + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return servers


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A client that waits for less than a second."""
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.1)
    monkeypatch.setattr("huggingface_hub.file_download._ETAG_RETRY_TIMEOUT", 0.1)
    monkeypatch.setattr(hub_errors, "SECONDS_TO_ANSWER", 0.1)
    yield
    close_session()


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    return CoReWorldModel(tiny_config())


@pytest.fixture
def files(model: CoReWorldModel, tmp_path: Path) -> dict[str, bytes]:
    """What ``save_pretrained`` writes."""
    model.save_pretrained(tmp_path / "saved")
    return {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
