from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core_repr import zoo
from core_repr.config import CoReConfig
from core_repr.hub import packaged
from core_repr.world_model import CoReWorldModel

NAMES = ["cartpole-swingup-easy-v0", "cartpole-swingup-hard-v0", "walker-walk-easy-v0"]


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    return CoReWorldModel(tiny_config())


@pytest.fixture
def pretrained(model: CoReWorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of three models, in an unsorted order, and a folder that holds none."""
    folder = tmp_path / "pretrained"
    for name in reversed(NAMES):
        model.save_pretrained(folder / name)
    (folder / "notes").mkdir()
    monkeypatch.setattr(packaged, "PRETRAINED", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_models_are_listed_by_name(pretrained: Path) -> None:
    assert zoo.list_models() == NAMES


def test_the_newest_version_comes_first(pretrained: Path, model: CoReWorldModel) -> None:
    for version in (1, 9, 10):
        model.save_pretrained(pretrained / f"cartpole-swingup-hard-v{version}")
    listed = [name for name in zoo.list_models() if "hard" in name]
    assert [name.rsplit("-v")[1] for name in listed] == ["10", "9", "1", "0"]
    assert zoo.list_models()[0] == NAMES[0]


@pytest.mark.parametrize("name", [NAMES[0], "mine"])
def test_what_is_on_this_disk_has_no_revision(pretrained: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="has no revision 'main'"):
        zoo.load(name, revision="main")


def test_a_name_and_a_folder_are_found(pretrained: Path, tmp_path: Path) -> None:
    assert zoo.find("cartpole-swingup-hard-v0") == pretrained / "cartpole-swingup-hard-v0"
    (tmp_path / "mine").mkdir()
    assert zoo.find("mine") == Path("mine")
    assert zoo.find(tmp_path / "mine") == tmp_path / "mine"


def test_a_folder_beside_does_not_take_a_models_name(pretrained: Path, tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).mkdir()
    assert zoo.find(NAMES[0]) == pretrained / NAMES[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_model_has_the_weights(pretrained: Path, model: CoReWorldModel, name: str) -> None:
    loaded = zoo.load(name)
    assert not loaded.training
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[key])


def test_near_misses_are_named(pretrained: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"did you mean.*cartpole-swingup-easy-v0") as error:
        zoo.load("cartpole-swing-easy-v0")
    assert "'cartpole-swing-easy-v0'" in str(error.value)
    assert "walker" not in str(error.value)


def test_a_name_unlike_any_other_gets_the_whole_list(pretrained: Path) -> None:
    with pytest.raises(FileNotFoundError, match=", ".join(NAMES)):
        zoo.find("xyz")


def test_an_unknown_name_leads_to_the_hub(pretrained: Path) -> None:
    with pytest.raises(FileNotFoundError, match="'user/repo', where further models are"):
        zoo.load("walker-run-hard-v0")


@pytest.mark.parametrize(
    ("newer", "words"), [(True, "any more, 'walker-walk-medium-v7' is"), (False, "package; train")]
)
def test_a_model_that_left_the_package_says_how_to_get_it(
    pretrained: Path, model: CoReWorldModel, newer: bool, words: str
) -> None:
    if newer:
        model.save_pretrained(pretrained / "walker-walk-medium-v7")
    with pytest.raises(FileNotFoundError) as error:
        zoo.load("walker-walk-medium-v0")
    message = str(error.value)
    assert "'walker-walk-medium-v0' is not in the package" in message and words in message
    assert "core-repr train --recipe walker-walk-medium-v0" in message


def test_a_broken_model_is_refused(pretrained: Path) -> None:
    (pretrained / NAMES[0] / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        zoo.load(NAMES[0])


@pytest.mark.parametrize("name", zoo.list_models())
def test_shipped_models_load(name: str) -> None:
    model = zoo.load(name)
    assert model.config.environment is not None
    assert name.rsplit("-", 1)[-1].startswith("v")
