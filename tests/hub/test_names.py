from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from local_hub import LocalHub

from core_repr import zoo
from core_repr.hub.names import check_repository, find_repository
from core_repr.world_model import CoReWorldModel


@pytest.mark.parametrize(
    ("address", "revision"),
    [
        ("user/repo", None),
        ("https://huggingface.co/user/repo", None),
        ("https://huggingface.co/user/repo/", None),
        ("http://hf.co/user/repo?library=core-repr", None),
        ("https://www.huggingface.co/user/repo#usage", None),
        ("https://HuggingFace.co/user/repo", None),
        ("huggingface.co/user/repo", None),
        ("hf.co/user/repo/tree/v1", "v1"),
        ("https://huggingface.co/user/repo/tree/main/", "main"),
        ("https://huggingface.co/user/repo/commit/3f2a91c", "3f2a91c"),
        ("https://huggingface.co/user/repo/tree/refs%2Fpr%2F1", "refs/pr/1"),
        ("https://huggingface.co/user/repo/tree/refs/pr/1", "refs/pr/1"),
    ],
)
def test_addresses_of_models(address: str, revision: str | None) -> None:
    assert find_repository(address) == ("user/repo", revision)
    if revision is None:
        assert find_repository(address, "v2") == ("user/repo", "v2")
    else:
        assert find_repository(address, revision) == ("user/repo", revision)
        with pytest.raises(ValueError, match=f"names the revision '{revision}', but 'other'"):
            find_repository(address, "other")


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co",
        "https://huggingface.co/user",
        "https://huggingface.co/datasets/squad",
        "https://huggingface.co/datasets/user/repo",
        "https://huggingface.co/spaces/user/repo",
        "https://huggingface.co/user/repo/blob/main/config.json",
        "https://huggingface.co/user/repo/resolve/main/config.json",
        "https://huggingface.co/user/repo/tree",
        "https://huggingface.co/user/repo/tree/main/folder",
        "https://huggingface.co/user/re%20po",
        "https://huggingface.co.example.com/user/repo",
        "https://github.com/user/repo",
        "https://me:SECRET@huggingface.co/user/repo",
        "https://huggingface.co/user?token=SECRET",
        "hf://user/repo",
        "file:///etc/passwd",
        "https://[::1/user/repo",
    ],
)
def test_other_addresses_are_refused_in_a_sentence(address: str) -> None:
    for refuse in (find_repository, zoo.find, zoo.load, CoReWorldModel.from_pretrained):
        with pytest.raises(ValueError, match=r"is not the address of a model: .*user/repo") as seen:
            refuse(address)
        assert "SECRET" not in str(seen.value)
    with pytest.raises(ValueError, match="has the form 'user/repo'") as seen:
        check_repository(address)
    assert "SECRET" not in str(seen.value)


@pytest.mark.parametrize("name", ["repo", "a/b/c", "", "~/x", Path("user/repo"), "/user/repo"])
def test_what_is_neither_a_name_nor_an_address(name: str | Path) -> None:
    assert find_repository(name) is None


def test_models_are_loaded_by_the_address_of_their_page(
    hub: LocalHub, model: CoReWorldModel, files: dict[str, bytes]
) -> None:
    commit = hub.add("user/repo", files)
    for address in (
        "https://huggingface.co/user/repo",
        f"https://hf.co/user/repo/tree/{commit}?x=1",
        f"{constants.ENDPOINT}/user/repo/",
    ):
        loaded = zoo.load(address)
        weights = loaded.state_dict()
        assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items())
        assert zoo.find(address).name == commit


@pytest.mark.parametrize(
    "revision",
    ["..", "", "a/../b", "/main", "main/", "main?x=1", "v1~2", "HEAD^", "a b", "a:b", "x.lock", 3],
)
def test_what_no_revision_can_be_named_is_refused(revision: Any) -> None:
    for model in ("user/repo", "https://huggingface.co/user/repo"):
        with pytest.raises(ValueError, match="is not a valid revision; name a branch"):
            find_repository(model, revision)
        with pytest.raises(ValueError, match="is not a valid revision"):
            CoReWorldModel.from_pretrained(model, revision=revision)


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", "v1.0", "user/topic", "0a" * 20, "ä"])
def test_names_of_revisions(revision: str) -> None:
    assert find_repository("user/repo", revision) == ("user/repo", revision)
