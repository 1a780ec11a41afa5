"""What a newcomer does with an environment of their own, as a script in two processes.

``first FOLDER ID RENDERED MODEL`` trains on frames rendered at RENDERED pixels a model that takes
MODEL, saves it, and learns on its latents; ``again FOLDER ID RENDERED MODEL`` loads everything.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from core_repr import CoReSAC, CoReWrapper
from core_repr.config import CoReConfig, compact

ENVIRONMENTS = {
    "Reacher-v5": "mujoco",
    "Pusher-v5": "mujoco",
    "HalfCheetah-v5": "mujoco",
    "FetchReach-v4": "gymnasium_robotics",
    "CarRacing-v3": "Box2D",
    "dm_control/walker-run-v0": "shimmy",
    "dm_control/quadruped-walk-v0": "shimmy",
    "dm_control/hopper-hop-v0": "shimmy",
}
"""Gymnasium id → package that it needs."""

STEPS = 1_000
LATENT_STEPS = 128
AGAIN = 5
ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "sac": SAC}


def make(environment_id: str, side: int) -> gym.Env[Any, Any]:
    """Makes an environment that gives its pixels."""
    package = ENVIRONMENTS[environment_id]
    if package in ("gymnasium_robotics", "shimmy"):
        gym.register_envs(importlib.import_module(package))
    if environment_id == "CarRacing-v3":
        assert side == 96, "it renders at 96 × 96 only"
        return gym.make(environment_id)
    size: dict[str, Any] = {"width": side, "height": side}
    if package == "shimmy":
        size = {"render_kwargs": size}
    env = gym.make(environment_id, render_mode="rgb_array", **size)
    return gym.wrappers.AddRenderObservation(env)


def config(side: int) -> CoReConfig:
    """Preset compact with few updates, small networks of the agent, and frames of a size."""
    preset = compact()
    return preset.replace(
        world_model=dataclasses.replace(preset.world_model, frame_size=side),
        agent=dataclasses.replace(
            preset.agent,
            learning_starts=300,
            initial_updates=5,
            updates_per_step=0.02,
            batch_size=4,
            sequence_length=8,
            replay_size=3_000,
            actor_layers=(32,),
            critic_layers=(32,),
        ),
    )


def first(folder: Path, environment_id: str, rendered: int, side: int) -> dict[str, Any]:
    """Trains, saves and wraps; returns frames and latents of the environment."""
    agent = CoReSAC("CoRePolicy", make(environment_id, rendered), config(side), seed=0)
    agent.learn(STEPS)
    assert agent.num_timesteps >= STEPS and agent.updates > 5
    agent.save(folder / "agent")
    for name, algorithm in ALGORITHMS.items():
        env = CoReWrapper(make(environment_id, rendered), folder / "agent")
        further = {"n_steps": LATENT_STEPS // 2} if name == "ppo" else {"learning_starts": 64}
        on_latents = algorithm("MlpPolicy", env, seed=0, device="cpu", **further)
        on_latents.learn(LATENT_STEPS).save(folder / name)
        env.close()
    # The same again cannot be had: some textures of MuJoCo differ from one making to the next.
    frames = played(make(environment_id, rendered))
    latents = played(CoReWrapper(make(environment_id, rendered), folder / "agent"))
    return {"frames": frames, "latents": latents}


def played(env: gym.Env[Any, Any]) -> np.ndarray:
    """Returns some observations of random actions."""
    env.action_space.seed(0)
    seen = [np.array(env.reset(seed=1)[0])]
    seen += [np.array(env.step(env.action_space.sample())[0]) for _ in range(AGAIN)]
    env.close()
    return np.stack(seen)


def acted(folder: Path, seen: Mapping[str, Any], env: gym.Env[Any, Any]) -> dict[str, Any]:
    """Loads agent and agents on latents, and returns what they do where they see something."""
    found: dict[str, Any] = {}
    agent = CoReSAC.load(folder / "agent", env, device="cpu")
    state: Any = None
    for step, frame in enumerate(seen["frames"]):
        action, state = agent.predict(frame, state, deterministic=True)
        found[f"agent {step}"], found[f"state {step}"] = action, state.latent.features
    for name, algorithm in ALGORITHMS.items():
        found[name], _ = algorithm.load(folder / name, device="cpu").predict(
            seen["latents"], deterministic=True
        )
    assert all(np.isfinite(value).all() for value in found.values())
    return found


def main(command: str, folder: str, environment_id: str, rendered: str, side: str) -> None:
    """Runs one of the two."""
    torch.set_num_threads(1)
    place, record = Path(folder), Path(folder) / "acted.npz"
    env = make(environment_id, int(rendered))
    if command == "first":
        seen = first(place, environment_id, int(rendered), int(side))
        np.savez(record, **seen, **acted(place, seen, env))
        return
    before = np.load(record)
    for name, value in acted(place, before, env).items():
        assert np.array_equal(value, before[name]), name
    # And on the environment itself.
    for name, algorithm in ALGORITHMS.items():
        wrapped = CoReWrapper(make(environment_id, int(rendered)), place / "agent")
        on_latents = algorithm.load(place / name, wrapped, device="cpu")
        latent, _ = wrapped.reset(seed=2)
        for _ in range(AGAIN):
            action, _ = on_latents.predict(latent)
            assert np.isfinite(latent).all() and wrapped.action_space.contains(action)
            latent = wrapped.step(action)[0]
        on_latents.learn(LATENT_STEPS, reset_num_timesteps=False)
        wrapped.close()
    print("the same")


if __name__ == "__main__":
    main(*sys.argv[1:])
