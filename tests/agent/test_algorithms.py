"""One table says which class an agent's config is for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from core_repr import load_agent
from core_repr.agent import CoReSAC, SequenceAlgorithm, algorithm_of
from core_repr.agent.algorithms import ALGORITHMS
from core_repr.config import CoReConfig, LearningConfig


def test_every_algorithm_has_a_config_of_its_own() -> None:
    assert len({algorithm.settings for algorithm in ALGORITHMS}) == len(ALGORITHMS)


def test_a_folder_says_which_algorithm_it_is_of(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path
) -> None:
    config = tiny_config()
    algorithm_of(config)("CoRePolicy", None, config, device="cpu").save_pretrained(tmp_path)
    agent = load_agent(tmp_path, device="cpu")
    assert type(agent) is CoReSAC and agent.config == config
    with pytest.raises(FileNotFoundError, match="neither a zoo name"):
        load_agent("nobody-v0")


def test_a_config_of_another_algorithm_is_refused(tiny_config: Callable[..., CoReConfig]) -> None:
    @dataclass(frozen=True)
    class OtherConfig(LearningConfig):
        pass

    class Other(CoReSAC):
        settings = OtherConfig  # type: ignore[assignment]

    assert issubclass(Other, SequenceAlgorithm)
    with pytest.raises(ValueError, match="Other takes a config whose agent is a OtherConfig, not"):
        Other("CoRePolicy", None, tiny_config(), device="cpu")
