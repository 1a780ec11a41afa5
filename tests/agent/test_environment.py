import re
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest

from core_repr.agent import CoReSAC


@pytest.mark.parametrize(
    ("frame", "crop", "words"),
    [
        (24, 18, r"central 56 % of a frame: 3 pixels \(12 %\) beyond each border"),
        (25, 20, None),  # A tenth beyond each border.
        (16, 16, None),
    ],
)
def test_a_crop_that_hides_much_is_told_in_numbers_when_a_training_starts(
    make_agent: Callable[..., CoReSAC],
    make_pixels: Callable[..., gym.Env[Any, Any]],
    caplog: pytest.LogCaptureFixture,
    frame: int,
    crop: int,
    words: str | None,
) -> None:
    agent = make_agent(
        make_pixels(frame_size=frame), world_model={"frame_size": frame, "crop_size": crop}
    )
    assert not caplog.records  # The config names its environment: the training goes on.
    CoReSAC("CoRePolicy", agent.env, agent.config.replace(environment=None), device="cpu")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (words is not None)
    if words is not None:
        assert re.search(words, caplog.text)
