import dataclasses
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
from core_repr.files.names import MAX_CONFIG_BYTES
from core_repr.files.weights import load_weights
from core_repr.world_model import CoReWorldModel

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
    other = CoReWorldModel(tiny_config(dynamics={"stochastic_size": 3}))
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
    other = tiny_config(dynamics={"deterministic_size": 10})
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
    (folder / CONFIG).write_text(" " * (MAX_CONFIG_BYTES + 1))
    assert "larger" in refusal(folder)


@pytest.mark.parametrize("step", ["fsync", "replace"])
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


def test_what_a_user_keeps_beside_a_model_stays(model: CoReWorldModel, folder: Path) -> None:
    for name in (CARD, "notes.txt"):
        (folder / name).write_text("mine")
    model.save_pretrained(folder)
    assert [(folder / name).read_text() for name in (CARD, "notes.txt")] == ["mine", "mine"]


@pytest.mark.parametrize("name", ["a\nb", "a\udcffb", "a: b #c", "['x']", "a\x1b[31m"])
def test_folders_of_any_name_hold_models(model: CoReWorldModel, tmp_path: Path, name: str) -> None:
    model.save_pretrained(tmp_path / name)
    assert CoReWorldModel.from_pretrained(tmp_path / name).config == model.config
    assert "\x1b" not in (tmp_path / name / CARD).read_text()


class Grown(torch.nn.Linear):
    """A layer with a tensor that no config asks for."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features)
        self.more = torch.nn.Parameter(torch.zeros(1))


def _set(tensor: torch.Tensor, value: float) -> None:
    with torch.no_grad():
        tensor.fill_(value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.to(torch.bfloat16), "as torch.bfloat16 instead of torch.float32"),
        (lambda m: m.half(), "as torch.float16 instead"),
        (lambda m: m.encoder.double(), "as torch.float64 instead"),
        (lambda m: m.to("meta"), "without values, on the device 'meta'"),
        (
            lambda m: _set(m.objectives.frames.inverse_temperature_logit, float("nan")),
            "values that are not finite",
        ),
        (lambda m: _set(next(m.encoder.parameters()), float("-inf")), "values that are not finite"),
        (lambda m: setattr(m, "encoder", torch.nn.Identity()), 'lacks tensor "encoder'),
        (lambda m: setattr(m, "more", Grown(torch.nn.Linear(1, 1))), 'an unknown tensor "more'),
        (
            lambda m: setattr(m.objectives.reward, "head", torch.nn.Linear(2, 1)),
            "tensor .*reward.head",
        ),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(
    model: CoReWorldModel, folder: Path, change: Callable[[CoReWorldModel], object], words: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    change(model)
    with pytest.raises(ValueError, match=rf"^model\.safetensors is not saved.*{words}.*\.$"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(ValueError, match="is not saved"):
        model.save_pretrained(folder.parent / "new")
    assert not (folder.parent / "new").exists()


def test_weights_of_any_layout_are_saved(model: CoReWorldModel, folder: Path) -> None:
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    vector = torch.cat([parameter.data.flatten() for parameter in model.parameters()])
    # Views of one tensor.
    torch.nn.utils.vector_to_parameters(vector, model.parameters())
    model.save_pretrained(folder)
    for name, tensor in CoReWorldModel.from_pretrained(folder).state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_a_compiled_part_is_saved_and_filled_like_any_other(
    model: CoReWorldModel, folder: Path
) -> None:
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.encoder = torch.compile(model.encoder)  # type: ignore[assignment]
    model.save_pretrained(folder)
    for name, tensor in CoReWorldModel.from_pretrained(folder).state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    load_weights(folder / WEIGHTS, model)
    for tensor, value in zip(model.state_dict().values(), expected.values(), strict=True):
        assert torch.equal(tensor, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "module:Name-v0"}, "a name with a colon"),
        ({"id": "a\x1b"}, "control character"),
        ({"arguments": {"text": "x" * 1_000_000}}, "bytes of 1,000,000"),
        ({"arguments": {"text": "a\udcff"}}, "surrogate"),
        ({"arguments": {"a": {1: 2}}}, "has the key 1"),
    ],
)
def test_a_config_that_could_not_be_loaded_is_not_saved(
    model: CoReWorldModel, folder: Path, change: dict[str, Any], words: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert model.config.environment is not None
    environment = dataclasses.replace(model.config.environment, **change)
    model.config = model.config.replace(environment=environment)
    with pytest.raises(ValueError, match=rf"could not be loaded again.*{words}"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def header_of(folder: Path) -> dict[str, Any]:
    content = (folder / WEIGHTS).read_bytes()
    header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header


def write_header(folder: Path, header: str | bytes, length: int | None = None) -> None:
    """Puts another header before the tensors; ``length`` is what the file claims of it."""
    content = (folder / WEIGHTS).read_bytes()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    raw = header.encode() if isinstance(header, str) else header
    stated = len(raw) if length is None else length
    (folder / WEIGHTS).write_bytes(stated.to_bytes(8, "little") + raw + tensors)


SOUND = "is not a sound safetensors file"


def change_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    header = header_of(folder)
    change(header)
    write_header(folder, json.dumps(header))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h[BIAS].update(dtype="F64"), SOUND),
        (lambda h: h[BIAS].update(dtype="PICKLE"), SOUND),
        (lambda h: h[BIAS].update(dtype=["F32"]), SOUND),
        (lambda h: h[BIAS].update(shape=[2**40, 2**40]), SOUND),
        (lambda h: h[BIAS].update(shape=[2**63, 2]), SOUND),
        (lambda h: h[BIAS].update(shape=[-7]), SOUND),
        (lambda h: h[BIAS].update(shape=[7.0]), SOUND),
        (lambda h: h[BIAS].update(shape=[True] * 7), SOUND),
        (lambda h: h[BIAS].update(shape=[1] * 100 + [7]), "with shape"),
        (lambda h: h[BIAS].update(data_offsets=[0, 28]), SOUND),
        (lambda h: h[BIAS].update(data_offsets=[10**9, 10**9 + 28]), SOUND),
        (lambda h: h[BIAS].update(data_offsets=[28, 0]), SOUND),
        (lambda h: h[BIAS].update(data_offsets=[0]), SOUND),
        (lambda h: h[BIAS].pop("shape"), SOUND),
        (lambda h: h.update({BIAS: [1]}), SOUND),
        (lambda h: h.update(__metadata__={"a": 1}), "metadata"),
        (lambda h: h.update(__metadata__={"sha256": "0"}), "its own checksum"),
        (lambda h: h.update(__metadata__={"sha257": "0"}), 'unknown metadata, "sha257"'),
    ],
)
def test_a_header_that_lies_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    change_header(folder, change)
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "of another form"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("[" * 100_000, "nests deeper"),
        ("[" * 40 + "]" * 40, "nests deeper"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": 1e999}', "too large"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a": "\\u001b[2J"}', "control character"),
        ('{"\\u0000": 1}', "control character"),
        ("{", "Expecting property name"),
    ],
)
def test_hostile_json_is_refused(folder: Path, text: str, words: str) -> None:
    config = (folder / CONFIG).read_bytes()
    write_header(folder, text)
    assert words in refusal(folder)
    (folder / CONFIG).write_text(text)
    assert words in refusal(folder) or text == "[]"
    (folder / CONFIG).write_bytes(config)
    write_header(folder, b"\xff\xfe{}")
    assert "no UTF-8" in refusal(folder)


@pytest.mark.parametrize("length", [0, 2**20, 2**31, 2**63, 2**64 - 1])
def test_a_header_of_another_length_is_refused(folder: Path, length: int) -> None:
    write_header(folder, json.dumps(header_of(folder)), length)
    refusal(folder)


def test_a_header_that_is_too_long_is_refused_unread(folder: Path) -> None:
    write_header(folder, " " * 1_000_001)
    assert "header of 1,000,001 bytes" in refusal(folder)


def test_bytes_behind_the_tensors_are_refused(folder: Path) -> None:
    with open(folder / WEIGHTS, "ab") as file:
        file.write(b"x")
    assert "is not a sound safetensors file" in refusal(folder)


def test_an_enormous_file_is_refused_unread(folder: Path) -> None:
    with open(folder / WEIGHTS, "r+b") as file:
        file.truncate(10**12)
    assert "more than the" in refusal(folder)


def test_an_enormous_model_is_refused_before_it_is_allocated(folder: Path) -> None:
    fields = json.loads((folder / CONFIG).read_text())
    fields["world_model"]["dynamics"]["recurrent_layers"] = [16_384] * 16
    (folder / CONFIG).write_text(json.dumps(fields))
    assert "more than the" in refusal(folder)


def test_a_flipped_bit_is_noticed(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-3] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    assert "its own checksum" in refusal(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    assert "symbolic link that leaves its folder" in refusal(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(name)
    with pytest.raises(FileNotFoundError, match="lacks"):
        CoReWorldModel.from_pretrained(folder)


def test_links_within_the_folder_and_to_the_folder_are_followed(
    folder: Path, tmp_path: Path
) -> None:
    (folder / WEIGHTS).rename(folder / "weights-v1")
    (folder / WEIGHTS).symlink_to("weights-v1")
    (tmp_path / "link").symlink_to(folder)
    CoReWorldModel.from_pretrained(tmp_path / "link")


def test_a_link_that_only_looks_like_the_hubs_cache_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "models--user--repo" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    blob = snapshot.parent.parent / "blobs" / "1"
    blob.parent.mkdir()
    (snapshot / CONFIG).rename(blob)
    (snapshot / CONFIG).symlink_to("../../blobs/1")
    CoReWorldModel.from_pretrained(snapshot)
    blob.rename(tmp_path / "outside")
    blob.symlink_to(tmp_path / "outside")
    assert "leaves its folder" in refusal(snapshot)


def test_an_environment_that_would_import_a_module_is_refused(
    model: CoReWorldModel, folder: Path
) -> None:
    fields = json.loads((folder / CONFIG).read_text())
    fields["environment"]["id"] = "antigravity:Env-v0"
    (folder / CONFIG).write_text(json.dumps(fields))
    assert "would run a module's code" in refusal(folder)


def test_a_newer_config_says_what_to_do(folder: Path) -> None:
    fields = json.loads((folder / CONFIG).read_text())
    fields["format_version"] = 99
    (folder / CONFIG).write_text(json.dumps(fields))
    assert re.search("99.*(install|release|newer)", refusal(folder))


def test_a_card_is_made_and_a_card_that_is_there_stays(model: CoReWorldModel, folder: Path) -> None:
    text = (folder / CARD).read_text()
    assert "What it cannot do" in text and "library_name: core-repr" in text
    (folder / CARD).write_text("my own words")
    model.save_pretrained(folder)
    assert (folder / CARD).read_text() == "my own words"


def test_the_mixins_own_loader_is_closed() -> None:
    with pytest.raises(NotImplementedError):
        CoReWorldModel._from_pretrained(model_id="user/repo")
