from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import DelayObservation, RecordEpisodeStatistics, TransformReward
from hypothesis import given
from hypothesis import strategies as st

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig, EnvironmentConfig, WrapperConfig
from core_repr.environments import (
    changed,
    distractions,
    known_arguments,
    make_environment,
    recorded_argument,
    split_arguments,
    to_json,
    unknown_arguments,
    written,
)
from core_repr.hub.card import Facts, make_card
from core_repr.wrappers import CoReWrapper
from core_repr.wrapping import find_wrapper, parse_wrapper, worn, wrap, write_wrapper

PIXELS = "core-repr-tests/Pixels-v0"
DISTRACTIONS = WrapperConfig("core_repr.DistractionWrapper", {"difficulty": "medium"})


class Tint(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Adds to the red of every pixel."""

    distraction_arguments = ("red",)

    def __init__(self, env: gym.Env[Any, Any], red: int = 0, *, split: str = "train") -> None:
        RecordConstructorArgs.__init__(self, red=red, split=split)
        gym.ObservationWrapper.__init__(self, env)
        self.red, self.split = red, split

    def observation(self, observation: Any) -> Any:
        tinted = np.array(observation)
        tinted[..., 0] = self.red
        return tinted

    @staticmethod
    def describe_distractions(arguments: Any) -> str:
        return f"{arguments.get('red', 0)} red"


class Hidden(gym.ObservationWrapper[Any, Any, Any]):
    """Does not record its arguments."""

    def observation(self, observation: Any) -> Any:
        return observation


@pytest.fixture
def mine() -> Iterator[str]:
    """A module of one's own, imported, with the wrapper Tint."""
    module = ModuleType("mine_of_tests")
    module.Tint, Tint.__module__ = Tint, module.__name__  # type: ignore[attr-defined]
    module.code = print  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield module.__name__
    del sys.modules[module.__name__]
    Tint.__module__ = __name__


def recorded(*wrappers: WrapperConfig, **arguments: Any) -> EnvironmentConfig:
    return EnvironmentConfig(PIXELS, arguments, (-1.0,), (1.0,), wrappers=wrappers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('DistractionWrapper("medium")', DISTRACTIONS),
        ("core_repr.DistractionWrapper(difficulty='medium')", DISTRACTIONS),
        (
            " ResizeObservation( (32, 24) ) ",
            WrapperConfig("gymnasium.wrappers.ResizeObservation", {"shape": (32, 24)}),
        ),
        ("AddRenderObservation", WrapperConfig("gymnasium.wrappers.AddRenderObservation")),
    ],
)
def test_a_wrapper_is_read_as_in_python(text: str, expected: WrapperConfig) -> None:
    assert parse_wrapper(text) == expected
    assert parse_wrapper(write_wrapper(expected)) == expected


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda items: (
        st.lists(items) | st.lists(items).map(tuple) | st.dictionaries(st.text("ab"), items)
    ),
    max_leaves=6,
)


@given(values)
def test_every_value_comes_back(value: Any) -> None:
    wrapper = WrapperConfig(
        "core_repr.DistractionWrapper", {"difficulty": value, "look_at": "é'\""}
    )
    assert parse_wrapper(write_wrapper(wrapper)) == wrapper
    assert 'surfaces={"a": -1e999}' in write_wrapper(
        replace(wrapper, arguments={"surfaces": {"a": -math.inf}})
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DistractionWrapper", "missing a required argument: 'difficulty'; it takes difficulty, "),
        ('DistractionWrapper("easy", wind=3)', "'wind'; it takes difficulty"),
        ("DistractionWrapper(open('x'))", "not a wrapper of the form NAME"),
        ("DistractionWrapper(**{'difficulty': None})", "not a wrapper of the form NAME"),
        ("DistractionWrapper(1).x(2)", "not a wrapper of the form NAME"),
        ("(" * 9_999, "not a wrapper of the form NAME"),
        ("", "not a wrapper of the form NAME"),
        ("a = 3", "not a wrapper of the form NAME"),
        ("Nothing()", "neither core_repr nor gymnasium.wrappers has one.*--import MODULE"),
        ("antigravity.Fly()", "no wrapper 'antigravity.Fly'.*is not imported"),
        ("os.system('x')", "'os.system' is not a wrapper"),
        ("mine_of_tests.code()", "'mine_of_tests.code' is not a wrapper"),
        ("RecordVideo('x')", "only watches"),
        ("stable_baselines3.common.monitor.Monitor()", "only watches"),
        ("TimeLimit(3)", "max_episode_steps limits the time"),
        ("CoReWrapper('someone/model')", "works with a model"),
    ],
)
def test_what_is_no_wrapper_is_refused(text: str, words: str, mine: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        parse_wrapper(text)
    assert "\n" not in str(error.value)
    assert "antigravity" not in sys.modules


def test_a_name_of_a_record_imports_nothing() -> None:
    for name in ("antigravity.Fly", "antigravity", "a b.c", ".x", "x.", ""):
        with pytest.raises(ValueError, match="no wrapper"):
            find_wrapper(name)
    assert "antigravity" not in sys.modules
    with pytest.raises(ValueError, match=r"no argument 'size'; it takes shape\.$"):
        wrap(gym.make(PIXELS), [WrapperConfig("gymnasium.wrappers.ResizeObservation", {"size": 3})])


def test_a_wrapper_that_needs_another_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, mine: str
) -> None:
    def lazily(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'jax'")

    monkeypatch.setattr(sys.modules[mine], "__getattr__", lazily, raising=False)
    with pytest.raises(ValueError, match=r"'mine_of_tests.ToJax' cannot be imported.*'jax'\.$"):
        parse_wrapper(f"{mine}.ToJax()")


def test_an_argument_belongs_to_the_outermost_layer_that_takes_it(mine: str) -> None:
    tint = parse_wrapper(f"{mine}.Tint(7)")
    environment = recorded(tint, tint, length=5)
    again = changed(environment, {"red": 9, "length": 6, "render_mode": "rgb_array"})
    assert again.arguments == {"length": 6, "render_mode": "rgb_array"}
    assert [wrapper.arguments["red"] for wrapper in again.wrappers] == [7, 9]
    assert environment == recorded(tint, tint, length=5)
    assert known_arguments(environment) >= {"length", "red", "split", "max_episode_steps"}
    assert unknown_arguments(environment, ["red", "blue"]) == {"blue"}
    assert recorded_argument(environment, "split") == "train"
    assert recorded_argument(environment, "nothing") is None
    assert split_arguments(environment, "val") == {"split": "val"}
    assert distractions(environment) == "7 red; 7 red"
    env = make_environment(environment, red=200, max_episode_steps=2)
    frame, _ = env.reset(seed=0)
    assert (frame[..., 0] == 200).all()
    env.step(env.action_space.sample())
    assert env.step(env.action_space.sample())[3]
    assert written(environment) == (
        f"{PIXELS} with {{'length': 5}}, within {mine}.Tint(red=7), within {mine}.Tint(red=7)"
    )
    assert to_json(environment)["wrappers"][0] == {"name": f"{mine}.Tint", "arguments": {"red": 7}}
    env.close()


def test_what_an_environment_wears_is_read(mine: str) -> None:
    env = gym.make(PIXELS)
    env = Tint(DelayObservation(RecordEpisodeStatistics(env), 2), 3)
    assert env.spec is not None
    assert worn(env.spec) == (
        [
            WrapperConfig("gymnasium.wrappers.DelayObservation", {"delay": 2}),
            WrapperConfig(f"{mine}.Tint", {"red": 3}),
        ],
        [],
    )
    hidden = Hidden(TransformReward(env, lambda reward: reward))
    assert hidden.spec is not None
    assert worn(hidden.spec)[1] == ["TransformReward", "Hidden"]


def test_wrappers_of_a_registered_environment_come_with_its_id(mine: str) -> None:
    spec = Tint(gym.make(PIXELS), 3).spec
    assert spec is not None
    gym.register(
        "core-repr-tests/Tinted-v0",
        spec.entry_point,
        additional_wrappers=spec.additional_wrappers,
        disable_env_checker=True,
    )
    env = Tint(gym.make("core-repr-tests/Tinted-v0"), 5)
    assert env.spec is not None
    assert worn(env.spec) == ([WrapperConfig(f"{mine}.Tint", {"red": 5})], [])
    del gym.registry["core-repr-tests/Tinted-v0"]


def test_a_model_records_what_its_environment_wore(
    tiny_config: Callable[..., CoReConfig], mine: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config().replace(environment=None)
    agent = CoReSAC("CoRePolicy", Tint(gym.make(PIXELS, max_episode_steps=6), 3), config, seed=0)
    environment = agent.environment_config
    tint = WrapperConfig(f"{mine}.Tint", {"red": 3})
    assert environment.wrappers == (tint,) and environment.arguments == {"max_episode_steps": 6}
    assert CoReConfig.from_json(agent.config.to_json()) == agent.config
    with pytest.warns(UserWarning, match="its wrappers are none, not Tint"):
        CoReWrapper(gym.make(PIXELS), agent.world_model)
    # Colour is a distraction.
    CoReWrapper(Tint(gym.make(PIXELS), 4), agent.world_model)
    with pytest.warns(UserWarning, match="split of its Tint is 'val', not 'train'"):
        CoReWrapper(Tint(gym.make(PIXELS), 3, split="val"), agent.world_model)
    assert "does not tell of the wrapper" not in caplog.text
    with caplog.at_level(logging.WARNING):
        CoReSAC("CoRePolicy", Hidden(gym.make(PIXELS)), config)
    assert "does not tell of the wrapper Hidden" in caplog.text


def test_the_card_s_code_wraps_too(tiny_config: Callable[..., CoReConfig]) -> None:
    config = tiny_config()
    resize = parse_wrapper("ResizeObservation((72, 72))")
    clips = replace(DISTRACTIONS, arguments={"difficulty": "easy", "backgrounds": "/home/me/clips"})
    environment = replace(recorded(clips, resize), id="Reacher-v5")
    evaluation = {
        "mean": 1.0,
        "standard_error": 1.0,
        "returns": [1.0],
        "seeds": [0],
        "arguments": {"split": "val", "difficulty": "hard"},
    }
    card = make_card(config.replace(environment=environment), Facts(evaluation=evaluation))
    code = card.text[card.text.index("```python") + 9 :].split("```")[0]
    assert (
        "from core_repr import CoReWrapper, DistractionWrapper\n"
        "from gymnasium.wrappers import ResizeObservation\n" in code
    )
    assert 'env = DistractionWrapper(env, difficulty="easy")\n' in code
    assert "env = ResizeObservation(env, shape=(72, 72))\nenv = CoReWrapper(env, " in code
    assert "The backgrounds of the training are not in this repository" in card.text
    assert "| Reacher, hard, static | 1 |" in card.text and "has not seen" in card.text
    compile(code, "card", "exec")


def test_a_wrapper_that_is_missing_takes_no_card_away(
    tiny_config: Callable[..., CoReConfig],
) -> None:
    gone = WrapperConfig("a_package_that_is_missing.Tint", {"split": "val", "red": 3})
    environment = recorded(gone)
    assert distractions(environment) == ""
    assert recorded_argument(environment, "split") == "val"
    card = make_card(tiny_config().replace(environment=environment), Facts())
    assert "from a_package_that_is_missing import Tint\n" in card.text
    with pytest.raises(ValueError, match=r"'a_package_that_is_missing'.*--import MODULE"):
        make_environment(environment)
