"""Devices that models are asked to compute on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core_repr.agent import load_agent
from core_repr.hub.devices import find_device
from core_repr.world_model import CoReWorldModel

NAME = "cartpole-swingup-easy-v0"


@pytest.mark.parametrize("load", [CoReWorldModel.from_pretrained, load_agent])
@pytest.mark.parametrize(
    ("device", "words"),
    [("gpu", "'gpu' is not a device of PyTorch"), ("cuda", "finds no GPU here; leave it out")],
)
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, load: Any, device: str, words: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=words):
        load(NAME, device=device)


def test_devices_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device("cpu") == find_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [find_device(f"cuda:{i}").index for i in range(2)] == [0, 1]
    with pytest.raises(ValueError, match=r"'cuda:2' was asked for, but there are 2 GPUs\."):
        find_device("cuda:2")
