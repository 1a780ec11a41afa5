import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel, storage

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    return CoReWorldModel(tiny_config())


@pytest.fixture
def folder(model: CoReWorldModel, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def refusal(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:
        CoReWorldModel.from_pretrained(folder)
    message = str(caught.value)
    assert type(caught.value) is ValueError
    assert str(folder) in message and message.endswith(".") and "\n" not in message
    return message


def test_round_trip_is_exact(model: CoReWorldModel, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [CARD, CONFIG, WEIGHTS]
    loaded = CoReWorldModel.from_pretrained(folder)
    assert loaded.config == model.config and not loaded.training
    weights, saved = model.state_dict(), loaded.state_dict()
    assert weights.keys() == saved.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, saved[name]), name
    frames = torch.randint(256, (2, 16, 16, 3), dtype=torch.uint8)
    # Equal weights in equal memory formats: not a bit differs.
    assert torch.equal(loaded.encode(frames), model.encode(frames))


def test_saving_again_replaces_both_files(
    tiny_config: Callable[..., CoReConfig], folder: Path
) -> None:
    other = CoReWorldModel(tiny_config(world_model={"stochastic_size": 3}))
    other.save_pretrained(folder)
    loaded = CoReWorldModel.from_pretrained(folder)
    assert loaded.config == other.config
    assert sorted(path.name for path in folder.iterdir()) == [CARD, CONFIG, WEIGHTS]


def test_files_can_be_read_by_others(folder: Path) -> None:
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644


def test_missing_folder_and_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        CoReWorldModel.from_pretrained(tmp_path / "nowhere")
    for name in (WEIGHTS, CONFIG):
        (folder / name).rename(tmp_path / "away")
        with pytest.raises(FileNotFoundError, match=re.escape(name)):
            CoReWorldModel.from_pretrained(folder)
        (tmp_path / "away").rename(folder / name)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, 0.999])
def test_truncated_weights_are_refused(folder: Path, kept: float) -> None:
    content = (folder / WEIGHTS).read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(content))
    (folder / WEIGHTS).write_bytes(content[:size])
    assert "safetensors" in refusal(folder)


@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"{"])
def test_garbage_is_refused(folder: Path, byte: bytes) -> None:
    (folder / WEIGHTS).write_bytes(byte * 1000)
    assert "safetensors" in refusal(folder)


def test_a_pickle_is_refused_and_not_opened(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (folder / WEIGHTS).write_bytes(pickle.dumps(Trap()))
    refusal(folder)
    torch.save({"trap": Trap()}, folder / WEIGHTS)
    refusal(folder)
    assert not (tmp_path / "sprung").exists()


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


BIAS = "encoder.linear.bias"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop(BIAS), f'lacks tensor "{BIAS}"'),
        (lambda tensors: tensors.update(extra=torch.ones(1)), 'unknown tensor "extra"'),
        (lambda tensors: tensors.update({BIAS: torch.ones(8)}), r"shape \(8,\).*\(7,\)"),
        (lambda tensors: tensors.update({BIAS: torch.ones(7, 1)}), r"shape \(7, 1\).*\(7,\)"),
        (lambda tensors: tensors.update({BIAS: torch.ones(7).half()}), "float16.*float32"),
        (lambda tensors: tensors.update({BIAS: torch.ones(7).long()}), "int64.*float32"),
        (lambda tensors: tensors[BIAS].fill_(float("nan")), f"{BIAS}.*not finite"),
        (lambda tensors: tensors[BIAS][3:4].fill_(float("inf")), f"{BIAS}.*not finite"),
        (lambda tensors: tensors.clear(), "lacks tensor"),
    ],
)
def test_foreign_tensors_are_refused(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], object], words: str
) -> None:
    change_weights(folder, change)
    assert re.search(words, refusal(folder))


def test_weights_of_another_config_are_refused(
    tiny_config: Callable[..., CoReConfig], folder: Path
) -> None:
    other = tiny_config(world_model={"deterministic_size": 10})
    (folder / CONFIG).write_text(other.to_json())
    assert "shape" in refusal(folder)


def test_a_config_without_environment_is_refused(model: CoReWorldModel, folder: Path) -> None:
    (folder / CONFIG).write_text(model.config.replace(environment=None).to_json())
    assert "'environment'" in refusal(folder)


def test_a_config_that_does_not_fit_is_refused(folder: Path) -> None:
    fields = json.loads((folder / CONFIG).read_text())
    fields["agent"]["batch_size"] = -3
    (folder / CONFIG).write_text(json.dumps(fields))
    assert "batch_size" in refusal(folder)
    (folder / CONFIG).write_bytes(b"\xff\x00")
    assert "JSON" in refusal(folder)


def test_an_enormous_config_is_refused_unread(folder: Path) -> None:
    (folder / CONFIG).write_text(" " * (storage.MAX_CONFIG_BYTES + 1))
    assert "larger" in refusal(folder)


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_write_that_fails_half_way_leaves_the_old_file(
    tiny_config: Callable[..., CoReConfig],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="no space"):
            CoReWorldModel(tiny_config()).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    CoReWorldModel.from_pretrained(folder)


def test_new_content_is_on_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    order: list[str] = []
    replace, fsync = os.replace, os.fsync

    def note_fsync(handle: int) -> None:
        assert path.read_bytes() == b"old"
        order.append("fsync")
        fsync(handle)

    def note_replace(source: str, target: Path) -> None:
        assert Path(source).read_bytes() == b"new" and Path(source).parent == tmp_path
        order.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    storage.write_atomically(path, b"new")
    assert order == ["fsync", "replace"] and path.read_bytes() == b"new"
