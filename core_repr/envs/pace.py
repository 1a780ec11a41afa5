"""How fast an environment's time goes by."""

from __future__ import annotations

from typing import Any

import gymnasium as gym


def agent_steps_per_second(env: gym.Env[Any, Any], default: float) -> float:
    """Returns how many agent steps an environment makes in a second of its time.

    That is `metadata["render_fps"]`, divided by what wrappers hold an action for (their attribute
    `action_repeat`), unless they tell another `render_fps` themselves.

    Args:
        env: The environment.
        default: `render_fps` of an environment that does not tell.
    """
    fps = env.metadata.get("render_fps")
    repeat = 1
    while isinstance(env, gym.Wrapper) and env.env.metadata.get("render_fps") == fps:
        repeat *= getattr(env, "action_repeat", 1)
        env = env.env
    return float(fps or default) / repeat
