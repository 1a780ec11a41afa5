"""Episodes as they were, and what a world model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from numpy.typing import NDArray

from core_repr.adapters import Observation
from core_repr.adapters.frames import reduce_frames
from core_repr.agent import SequenceAlgorithm
from core_repr.evaluation.episodes import RandomAgent
from core_repr.world_model import LatentState, Noise

AT_ONCE = 64
"""Frames that are encoded at once: all of an episode would take gigabytes at the paper's sizes."""


class Recording(NamedTuple):
    """One episode of T steps.

    Attributes:
        seed: What it was reset with.
        frames: As the model takes them, ``(T + 1, side, side, 3)``.
        proprioception: What came with them, ``(T + 1, P)``.
        actions: In the environment's units, ``(T, ...)``.
        rewards: That followed them, ``(T,)``.
        quantities: Physical quantities, ``(T + 1, Q)``; Q is 0 where there are none.
        clean_frames: The frames without distractions; ``None`` where there are none.
        terminated: Whether it terminated, rather than being cut off.
    """

    seed: int
    frames: UInt8[np.ndarray, "n side side 3"]
    proprioception: Float32[np.ndarray, "n p"]
    actions: NDArray[np.float32]
    rewards: Float[np.ndarray, " t"]
    quantities: Float[np.ndarray, "n q"]
    clean_frames: UInt8[np.ndarray, "n height height 3"] | None = None
    terminated: bool = False


def record(
    agent: SequenceAlgorithm,
    env: gym.Env[Any, Any],
    seed: int,
    *,
    at_random: bool = False,
    deterministic: bool = False,
    options: dict[str, Any] | None = None,
) -> Recording:
    """Records an episode.

    Args:
        agent: Acts, and says what a model takes of an observation.
        env: Whose information may have ``physics_quantities`` and ``clean_frame``.
        seed: Of the episode.
        at_random: Whether actions are uniformly random instead.
        deterministic: Whether the agent acts without exploration.
        options: Of the reset.
    """
    actor: Any = RandomAgent(env.action_space, seed) if at_random else agent
    observation, info = env.reset(seed=seed, options=options)
    # Copies: an environment may write to what it gave, and to what it was given.
    seen, told = [read(agent, observation)], [_told(info)]
    actions: list[NDArray[np.float32]] = []
    rewards: list[float] = []
    state, over = None, False
    while not over:
        start = np.array([not actions])
        action, state = actor.predict(observation, state, start, deterministic=deterministic)
        actions.append(np.array(action))
        observation, reward, terminated, truncated, info = env.step(action)
        rewards.append(float(reward))
        seen.append(read(agent, observation))
        told.append(_told(info))
        over = terminated or truncated
    quantities, clean = zip(*told, strict=True)
    frames, proprioception = joined(seen)
    return Recording(
        seed,
        frames,
        proprioception,
        np.stack(actions),
        np.array(rewards),
        np.stack(quantities),
        None if clean[0] is None else _of_size(frames.shape[1], np.stack(clean)),
        bool(terminated),
    )


def _of_size(side: int, clean_frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Makes clean frames as large as those that the model sees, which may have been reduced."""
    whole = clean_frames.shape[1] == side
    return clean_frames if whole else reduce_frames(clean_frames, side)


def replay(
    agent: SequenceAlgorithm, env: gym.Env[Any, Any], recording: Recording, distraction_seed: int
) -> Recording:
    """Sees an episode again, with the same actions, through other distractions.

    Args:
        agent: Says what a model takes of an observation.
        env: Which ``reset(options={"distraction_seed": n})`` draws other distractions in.
        recording: The episode.
        distraction_seed: What the distractions follow from.

    Returns:
        The episode with other frames, proprioception and rewards. The rewards, if not the same,
        tell that the environment does not repeat an episode.
    """
    options = {"distraction_seed": distraction_seed}
    seen = [read(agent, env.reset(seed=recording.seed, options=options)[0])]
    rewards = []
    for action in recording.actions:
        observation, reward, terminated, truncated, _ = env.step(action.copy())
        seen.append(read(agent, observation))
        rewards.append(float(reward))
        if terminated or truncated:
            break
    frames, proprioception = joined(seen)
    return recording._replace(
        frames=frames, proprioception=proprioception, rewards=np.array(rewards)
    )


def _told(info: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.uint8] | None]:
    clean = info.get("clean_frame")
    quantities = np.array(info.get("physics_quantities", []), np.float64)
    return quantities, None if clean is None else np.array(clean)


def read(agent: SequenceAlgorithm, observation: Any) -> Observation:
    """Returns what a model takes of an observation, as a batch of one."""
    return agent.policy.reader.finite(observation).copy()


def joined(seen: Sequence[Observation]) -> Observation:
    """Joins observations along time."""
    return Observation(*(np.concatenate(parts) for parts in zip(*seen, strict=True)))


@torch.inference_mode()
def observe(
    agent: SequenceAlgorithm, recording: Recording
) -> tuple[LatentState | None, LatentState]:
    """Returns the prior, ``None`` without one, and the posterior at each frame, ``(T + 1, ...)``.

    The draws are those of the deterministic policy.

    Args:
        agent: The agent and its model.
        recording: An episode.
    """
    model = agent.world_model
    actions = torch.from_numpy(to_model(agent, recording))[:, None].to(model.device)
    frames = torch.from_numpy(recording.frames)[:, None]
    is_first = torch.zeros(len(frames), 1, dtype=torch.bool)
    is_first[0] = True
    parts = zip(
        model.stack(frames, is_first)[:, 0].split(AT_ONCE),
        torch.from_numpy(recording.proprioception).split(AT_ONCE),
        strict=True,
    )
    x = torch.cat([model.encode(*(part.to(model.device) for part in pair)) for pair in parts])
    noise = agent.policy.noise(torch.arange(len(frames)), deterministic=True)
    prior, posterior = model.observe_encodings(
        x[:, None],
        actions,
        is_first.to(model.device),
        None if noise is None else Noise(*(draw[:, None] for draw in noise)),
    )

    def only(state: LatentState) -> LatentState:
        return state.map(lambda field: field[:, 0])

    return None if prior is None else only(prior), only(posterior)


def to_model(agent: SequenceAlgorithm, recording: Recording) -> Float32[np.ndarray, "n a"]:
    """Returns the actions of an episode in [−1, 1], as many as its frames; the last one is 0."""
    actions = agent.policy.actions.to_model(recording.actions)
    padded: NDArray[np.float32] = np.concatenate([actions, np.zeros_like(actions[:1])])
    return padded
