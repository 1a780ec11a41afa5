from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import pytest

from core_repr import cli
from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig, EnvironmentConfig
from core_repr.evaluation import make_environment, split_arguments


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
