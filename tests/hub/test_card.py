import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
from huggingface_hub import ModelCard

from core_repr.config import CoReConfig
from core_repr.hub.card import Facts, make_card

EVALUATION = {
    "mean": 512.345,
    "standard_error": 8.76,
    "returns": [500.0, 520.0],
    "seeds": [3, 4],
    "arguments": {"difficulty": "hard", "dynamic": True, "split": "val"},
}


@pytest.fixture
def make(tiny_config: Callable[..., CoReConfig]) -> Callable[..., ModelCard]:
    """Makes the card of a cartpole model; takes changes to its environment and its facts."""

    def make(environment: dict[str, Any] | None = None, **facts: Any) -> ModelCard:
        config = tiny_config()
        assert config.environment is not None
        changes: dict[str, Any] = {
            "id": "distracting_control/cartpole-swingup-v0",
            "arguments": {"task": "cartpole-swingup", "difficulty": "easy", "dynamic": False},
            **(environment or {}),
        }
        config = config.replace(environment=dataclasses.replace(config.environment, **changes))
        return make_card(config, Facts(**facts))

    return make


def test_evaluation_becomes_the_hubs_metadata(make: Callable[..., ModelCard]) -> None:
    data = make(name="user/cartpole", evaluation=EVALUATION).data
    mean, error = data.eval_results or []
    assert (mean.metric_type, mean.metric_value) == ("mean_reward", 512.35)
    assert (error.metric_type, error.metric_value) == ("standard_error", 8.76)
    assert mean.dataset_type == "distracting_control/cartpole-swingup-v0"
    assert mean.dataset_name == "cartpole-swingup, hard, dynamic"
    assert mean.dataset_split == "val" and data.model_name == "cartpole"


def test_what_was_not_evaluated_says_so(make: Callable[..., ModelCard]) -> None:
    card = make()
    assert card.data.eval_results is None
    assert card.text.count("not been evaluated") == 2


def test_the_ten_lines_hold_what_the_environment_was(make: Callable[..., ModelCard]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", make(name="user/x").text, re.DOTALL)
    compile(code, "card", "exec")
    assert (
        'gym.make("distracting_control/cartpole-swingup-v0", difficulty="easy", dynamic=False)'
        in code
    )
    assert 'CoReWrapper(env, "user/x")' in code and "task=" not in code
    assert len(code.strip().splitlines()) <= 10


def test_paths_of_the_trainers_machine_stay_out_of_the_code(
    make: Callable[..., ModelCard],
) -> None:
    card = make({"arguments": {"backgrounds": "/home/me/videos", "frame_size": 72}})
    [code] = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    assert "/home/me" not in code and "frame_size=72" in code
    assert "backgrounds of the training are not in this repository" in card.text


def test_text_follows_the_files(make: Callable[..., ModelCard]) -> None:
    bare = make().text
    assert not any(word in bare for word in ("replay.mp4", "learning_curve.png", "load_agent"))
    files = frozenset({"replay.mp4", "learning_curve.png", "agent.safetensors"})
    full = make(files=files).text
    assert all(word in full for word in ("replay.mp4", "learning_curve.png", "load_agent"))


def test_models_of_the_package_are_loaded_by_name(make: Callable[..., ModelCard]) -> None:
    text = make(name="x-v0", files=frozenset({"agent.safetensors"})).text
    assert 'from_pretrained("x-v0")' in text and 'load_agent("x-v0")' in text


def test_training_and_limits(make: Callable[..., ModelCard]) -> None:
    text = make(
        {"pixels_key": "image", "proprioception": {"joints": 7}},
        env_steps=123_000,
        seed=4,
        versions={"torch": "9.9"},
        commit="abc",
        device="cpu",
        precision="bfloat16",
    ).text
    told = ("| 123,000 |", "| seed | 4 |", "| torch | 9.9 |", "| precision | bfloat16 |")
    for words in (*told, "| device | cpu |", "`abc`", "`joints`"):
        assert words in text
    assert "What it cannot do" in text and "16 × 16 pixels" in text
    assert "not recorded" in make().text
