import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from core_repr import cli
from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig, EnvironmentConfig
from core_repr.environments import (
    EnvironmentChoice,
    arguments_to_ignore,
    label,
    make_environment,
    split_arguments,
    unknown_arguments,
)


def recorded(environment_id: str) -> EnvironmentConfig:
    return EnvironmentConfig(environment_id, {}, (-1.0,), (1.0,), 1)


def test_backgrounds_are_chosen_where_there_are_any(
    make_pixels: Callable[..., gym.Env[None, None]],
) -> None:
    suite = recorded("distracting_control/cartpole-swingup-v0")
    assert split_arguments(suite, "val") == {"split": "val"}
    assert split_arguments(recorded("core-repr-tests/Pixels-v0"), "val") == {}


@pytest.mark.parametrize("make", [make_environment, lambda e: split_arguments(e, "val")])
def test_what_is_not_registered_is_refused(make: Callable[..., object]) -> None:
    with pytest.raises(gym.error.UnregisteredEnv, match=r"no id \(Reach\): .*gym.make\(id\)"):
        make(recorded("<Monitor<CheckedSteps<Reach instance>>>"))
    with pytest.raises(gym.error.UnregisteredEnv, match=r"in mine/Reach-v0, .*--import PACKAGE"):
        make(recorded("mine/Reach-v0"))


def test_a_model_of_an_environment_of_one_s_own_is_evaluated(
    tiny_config: Callable[..., CoReConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    CoReSAC("CoRePolicy", None, tiny_config(), device="cpu").save_pretrained(tmp_path / "[model]")
    output = tmp_path / "[outcome].json"
    typed = ["evaluate", str(tmp_path / "[model]"), "--episodes", "1", "--output", str(output)]
    assert cli.main(typed) == 0
    assert "core-repr-tests/Pixels-v0 with {}" in capsys.readouterr().out
    assert output.exists()


class Weather(gym.Env[Any, Any]):
    """Says what Gymnasium does not ask for."""

    observation_space = action_space = gym.spaces.Box(-1, 1, (1,))
    metadata = {  # noqa: RUF012
        "render_modes": [],
        "distraction_arguments": ["rain", "days"],
        "split_arguments": ["days"],
        "information_arguments": ["forecast"],
    }

    def __init__(self, split: str = "train", size: int = 1, **others: Any) -> None:
        self.others = others

    @staticmethod
    def describe_distractions(arguments: Mapping[str, Any]) -> str:
        return f"{arguments.get('rain', 'no')} rain"


@pytest.fixture
def weather() -> Iterator[EnvironmentConfig]:
    gym.register("core-repr-tests/Weather-v0", Weather)
    yield EnvironmentConfig("core-repr-tests/Weather-v0", {"rain": "much"}, (-1.0,), (1.0,), 1)
    del gym.registry["core-repr-tests/Weather-v0"]


def test_what_an_environment_says_of_itself(weather: EnvironmentConfig) -> None:
    assert label(weather) == "Weather, much rain"
    assert arguments_to_ignore(weather) >= {"rain", "forecast", "frame_size"}
    assert unknown_arguments(weather, ["anything"]) == set()
    assert split_arguments(replace(weather, arguments={"days": 3}), "val") == {
        "split": "val",
        "days": None,
    }


def test_an_environment_that_says_nothing_has_its_name() -> None:
    assert label(recorded("core-repr-tests/Pixels-v0")) == "Pixels"
    assert label(recorded("mine/Reach-v0")) == "Reach"
    assert unknown_arguments(recorded("core-repr-tests/Pixels-v0"), ["length", "x"]) == {"x"}


def test_validation_is_as_the_training_had_it(weather: EnvironmentConfig, tmp_path: Path) -> None:
    settings = {"environment": {"validation": {"rain": {"$tuple": [1, 2]}, "split": "late"}}}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert split_arguments(weather, "val", tmp_path) == {"rain": (1, 2), "split": "late"}
    assert split_arguments(weather, "train", tmp_path) == {"split": "train"}
    choice = EnvironmentChoice.recorded(weather, tmp_path)
    assert make_environment(weather, **choice.validation).unwrapped.others == {"rain": (1, 2)}  # type: ignore[attr-defined]


def test_a_module_that_is_missing_takes_no_card_away() -> None:
    gym.register("core-repr-tests/Gone-v0", "a_package_that_is_missing:Gone")
    assert label(recorded("core-repr-tests/Gone-v0")) == "Gone"
    del gym.registry["core-repr-tests/Gone-v0"]
