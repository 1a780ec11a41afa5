"""World models and agents to the Hub and back."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, ModelCard, PyTorchModelHubMixin, constants
from local_hub import LocalHub

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel

REPOSITORY = "user/cartpole"


def assert_equal(first: torch.nn.Module, second: torch.nn.Module) -> None:
    weights, others = first.state_dict(), second.state_dict()
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, others[name]), name


def test_a_model_is_on_the_hubs_own_mixin(model: CoReWorldModel) -> None:
    assert isinstance(model, PyTorchModelHubMixin)


def test_round_trip(hub: LocalHub, model: CoReWorldModel) -> None:
    url = model.push_to_hub(REPOSITORY)
    repository = hub.repositories[REPOSITORY]
    commit = repository.refs["refs/heads/main"]
    assert url == f"{hub.endpoint}/{REPOSITORY}/commit/{commit}"
    assert sorted(repository.commits[commit]) == ["README.md", "config.json", "model.safetensors"]
    loaded = CoReWorldModel.from_pretrained(REPOSITORY)
    assert loaded.config == model.config and not loaded.training
    assert_equal(loaded, model)
    frames = torch.randint(256, (2, 16, 16, 3), dtype=torch.uint8)
    assert torch.equal(loaded.encode(frames), model.encode(frames))


def test_one_commit_holds_all_files(hub: LocalHub, model: CoReWorldModel) -> None:
    model.push_to_hub(REPOSITORY, commit_message="Trained on Tuesday")
    assert hub.repositories[REPOSITORY].messages == ["initial commit", "Trained on Tuesday"]


def test_the_agent_travels_along_and_is_optional(
    hub: LocalHub, tiny_config: Callable[..., CoReConfig]
) -> None:
    agent = CoReSAC("CoRePolicy", None, tiny_config(), device="cpu")
    agent.push_to_hub(REPOSITORY)
    loaded = CoReSAC.from_pretrained(REPOSITORY, device="cpu")
    assert_equal(loaded.policy, agent.policy)
    hub.requests.clear()
    constants.HF_HUB_CACHE += "-fresh"
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY), agent.world_model)
    assert not any("agent" in request for request in hub.requests)


def test_an_agent_is_missed_by_name(hub: LocalHub, model: CoReWorldModel) -> None:
    model.push_to_hub(REPOSITORY)
    with pytest.raises(FileNotFoundError, match=r"user/cartpole' has no 'agent\.safetensors'"):
        CoReSAC.from_pretrained(REPOSITORY)


def test_the_card_passes_the_clients_validation(hub: LocalHub, model: CoReWorldModel) -> None:
    card = ModelCard.load(model.push_to_hub(REPOSITORY) and _readme(hub))
    card.validate()
    assert "POST /api/validate-yaml" in hub.requests
    assert card.data.library_name == "core-repr"
    assert f'CoReWrapper(env, "{REPOSITORY}")' in card.text
    assert {"model_hub_mixin", "pytorch_model_hub_mixin"} <= set(card.data.tags or ())


def _readme(hub: LocalHub) -> str:
    return str(HfApi().hf_hub_download(REPOSITORY, "README.md"))


def test_a_large_file_goes_up_in_parts(
    hub: LocalHub, model: CoReWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "multipart_from", 5_000)
    model.push_to_hub(REPOSITORY)
    assert sum("/part/" in request for request in hub.requests) > 2
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY), model)


def test_config_and_weights_are_of_one_commit(
    hub: LocalHub, tiny_config: Callable[..., CoReConfig]
) -> None:
    """Someone pushes another model between our requests for config and weights."""
    first = CoReWorldModel(tiny_config())
    second = CoReWorldModel(tiny_config(dynamics={"deterministic_size": 10}))
    first.push_to_hub(REPOSITORY)
    resolve = HfApi.hf_hub_download

    def push_meanwhile(self: HfApi, *args: object, **options: object) -> str:
        path = resolve(self, *args, **options)  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HfApi, "hf_hub_download", resolve)
            second.push_to_hub(REPOSITORY)
        return str(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HfApi, "hf_hub_download", push_meanwhile)
        assert_equal(CoReWorldModel.from_pretrained(REPOSITORY), first)
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY), second)


def test_revisions(hub: LocalHub, tiny_config: Callable[..., CoReConfig]) -> None:
    models = [CoReWorldModel(tiny_config()) for _ in range(4)]
    commit = models[0].push_to_hub(REPOSITORY).rsplit("/", 1)[1]
    HfApi().create_tag(REPOSITORY, tag="v1")
    models[1].push_to_hub(REPOSITORY)
    models[2].push_to_hub(REPOSITORY, branch="wide")
    url = models[3].push_to_hub(REPOSITORY, create_pr=True)
    assert url == f"{hub.endpoint}/{REPOSITORY}/discussions/1"
    for revision, model in (
        (commit, models[0]), ("v1", models[0]), (None, models[1]), ("main", models[1]),
        ("wide", models[2]), ("refs/pr/1", models[3]),
    ):  # fmt: skip
        assert_equal(CoReWorldModel.from_pretrained(REPOSITORY, revision=revision), model)


def test_a_pinned_commit_that_is_cached_asks_nobody(hub: LocalHub, model: CoReWorldModel) -> None:
    commit = model.push_to_hub(REPOSITORY).rsplit("/", 1)[1]
    CoReWorldModel.from_pretrained(REPOSITORY, revision=commit)
    hub.requests.clear()
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY, revision=commit), model)
    assert hub.requests == []


def test_a_private_model_needs_its_owners_token(
    hub: LocalHub, model: CoReWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub(REPOSITORY, private=True)
    assert hub.repositories[REPOSITORY].private
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY), model)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", constants.HF_HUB_CACHE + "-fresh")
    with pytest.raises(FileNotFoundError, match="no model of that name that you may see"):
        CoReWorldModel.from_pretrained(REPOSITORY)
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY, token="hf_writer"), model)


def test_offline_mode_works_from_the_cache(
    hub: LocalHub, model: CoReWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub(REPOSITORY)
    CoReWorldModel.from_pretrained(REPOSITORY)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY), model)
    with pytest.raises(FileNotFoundError, match="cache does not have 'user/other'"):
        CoReWorldModel.from_pretrained("user/other")
    assert hub.requests == []


def test_local_files_only(hub: LocalHub, model: CoReWorldModel) -> None:
    model.push_to_hub(REPOSITORY)
    with pytest.raises(FileNotFoundError, match="local_files_only"):
        CoReWorldModel.from_pretrained(REPOSITORY, local_files_only=True)
    CoReWorldModel.from_pretrained(REPOSITORY)
    hub.requests.clear()
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY, local_files_only=True), model)
    assert hub.requests == []


def test_an_unreachable_hub_leaves_the_cache(
    hub: LocalHub, model: CoReWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub(REPOSITORY)
    CoReWorldModel.from_pretrained(REPOSITORY)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    assert_equal(CoReWorldModel.from_pretrained(REPOSITORY), model)
    with pytest.raises(ConnectionError, match="cannot be reached"):
        CoReWorldModel.from_pretrained("user/other")


def test_the_cache_can_be_elsewhere(hub: LocalHub, model: CoReWorldModel, tmp_path: Path) -> None:
    model.push_to_hub(REPOSITORY)
    CoReWorldModel.from_pretrained(REPOSITORY, cache_dir=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "models--user--cartpole").is_dir()
    assert not Path(constants.HF_HUB_CACHE).exists()


def test_force_download_fetches_again(hub: LocalHub, model: CoReWorldModel) -> None:
    model.push_to_hub(REPOSITORY)
    for _ in range(2):
        hub.requests.clear()
        CoReWorldModel.from_pretrained(REPOSITORY, force_download=True)
        assert any(re.match("GET /object", request) for request in hub.requests)


def test_a_folder_has_no_revision(model: CoReWorldModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="is a folder, which has no revision 'main'"):
        CoReWorldModel.from_pretrained(tmp_path / "model", revision="main")


@pytest.mark.parametrize("name", ["user", "a/b/c", "../up", "user/", "/absolute", "user/a b", ""])
def test_what_is_neither_folder_nor_repository(hub: LocalHub, name: str) -> None:
    expected = (
        "There is no folder" if name in ("a/b/c", "../up", "/absolute") else "is neither a zoo"
    )
    with pytest.raises(FileNotFoundError, match=expected):
        CoReWorldModel.from_pretrained(name)
    assert hub.requests == []


def test_a_run_that_is_not_there_is_not_looked_for_on_the_hub(hub: LocalHub) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no run 'runs/mine' here.*its address"):
        CoReWorldModel.from_pretrained("runs/mine")
    assert hub.requests == []


def test_a_run_s_folder_stands_for_its_model(model: CoReWorldModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "run" / "model")
    (tmp_path / "run" / "settings.json").write_text("{}")
    loaded = CoReWorldModel.from_pretrained(tmp_path / "run")
    assert loaded.config == model.config


@pytest.mark.parametrize("name", ["user", "a/b/c", "../up", ""])
def test_a_push_needs_a_repositorys_name(hub: LocalHub, model: CoReWorldModel, name: str) -> None:
    with pytest.raises(ValueError, match="user/repo"):
        model.push_to_hub(name)
    assert hub.requests == []


def test_a_name_that_the_client_refuses(hub: LocalHub) -> None:
    with pytest.raises(ValueError, match="cannot be a Hub repository"):
        CoReWorldModel.from_pretrained("user/a..b")
