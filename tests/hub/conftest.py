"""The Hub's real client against a Hub on 127.0.0.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from core_repr.config import CoReConfig
from core_repr.hub import errors as hub_errors
from core_repr.world_model import CoReWorldModel


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
