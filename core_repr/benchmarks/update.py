"""What an update of the learner costs, by part, and how close it comes to a matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from torch.utils.flop_counter import FlopCounterMode

from core_repr.agent import CoReSAC
from core_repr.benchmarks.report import Figure
from core_repr.config import PRESETS, CoReConfig, SACConfig
from core_repr.world_model import Observed, SequenceBatch

EPISODE_STEPS = 125
ACTION_SIZE = 6
MATRIX_SIDE = 1536


class NoiseEnv(gym.Env[Any, Any]):
    """Frames of noise, so that no simulator takes part.

    Args:
        side: Side of the frames in pixels.
    """

    def __init__(self, side: int) -> None:
        self.observation_space = spaces.Box(0, 255, (side, side, 3), np.uint8)
        self.action_space = spaces.Box(-1, 1, (ACTION_SIZE,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Returns the next frame."""
        self.steps += 1
        frame = self.observation_space.sample()
        return frame, float(self.np_random.random()), False, self.steps == EPISODE_STEPS, {}


def benchmark_update(
    preset: str, rounds: int, device: str = "auto", progress: Callable[[], object] = lambda: None
) -> list[Figure]:
    """Measures one preset.

    Every round times each part once, so that all of them see the same load of the machine; the
    figures are medians over the rounds.

    Args:
        preset: Name of the preset.
        rounds: How many rounds.
        device: Where the networks are.
        progress: Called after each round.

    Returns:
        Seconds of the whole update, joint and sequential, and of its parts; their floating-point
        operations; and the share of a plain matrix product's rate that they reach.
    """
    config = PRESETS[preset]()
    joint = _filled_agent(config, joint=True, device=device)
    sequential = _filled_agent(config, joint=False, device=device)
    batch = _sample(joint)
    tasks: dict[str, Callable[[], object]] = {
        "joint update": lambda: joint.update(batch),
        "sequential update": lambda: sequential.update(batch),
        "sampling": lambda: _sample(joint),
        **_parts(joint, batch),
        "float32 product": _matrix_product(joint.device, torch.float32),
        "bfloat16 product": _matrix_product(joint.device, torch.bfloat16),
    }
    operations = {name: _operations(tasks[name]) for name in ("joint update", "sequential update")}
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            seconds[name].append(_seconds(task, joint.device))
        progress()
    typical = {name: median(times) for name, times in seconds.items()}
    rates = {
        kind: 2 * MATRIX_SIDE**3 / typical.pop(f"{kind} product")
        for kind in ("float32", "bfloat16")
    }
    figures = [Figure(f"{preset}: {name}", value, "s") for name, value in typical.items()]
    share = typical["sampling"] / typical["joint update"]
    figures.append(Figure(f"{preset}: sampling, share of the joint update", 100 * share, "%"))
    for name, count in operations.items():
        figures.append(Figure(f"{preset}: {name}, operations", count / 1e9, "GFLOP"))
        for kind, rate in rates.items():
            figures.append(
                Figure(
                    f"{preset}: {name}, share of the {kind} product's rate",
                    100 * count / typical[name] / rate,
                    "%",
                )
            )
    for kind, rate in rates.items():
        figures.append(
            Figure(f"{preset}: {kind} product, {MATRIX_SIDE} wide", rate / 1e9, "GFLOP/s")
        )
    return figures


def _filled_agent(config: CoReConfig, joint: bool, device: str) -> CoReSAC:
    env = NoiseEnv(config.world_model.frame_size)
    assert isinstance(config.agent, SACConfig)
    settings = replace(
        config.agent,
        joint_update=joint,
        # Both forms with J_Q in Θ or both without it; Adam would undo a weight in between.
        critic_weight=float(config.agent.critic_weight > 0),
        replay_size=8 * EPISODE_STEPS,
        learning_starts=0,
        initial_updates=0,
    )
    agent = CoReSAC("CoRePolicy", env, config.replace(agent=settings), seed=0, device=device)
    agent.set_logger(Logger(None, []))
    env.action_space.seed(0)
    env.observation_space.seed(0)
    for episode in range(4):
        frame, _ = env.reset(seed=episode)
        truncated = False
        while not truncated:
            action = env.action_space.sample()
            following, reward, _, truncated, _ = env.step(action)
            agent.replay_buffer.add(0, frame, action, reward)
            frame = following
        agent.replay_buffer.end_episode(0, frame, terminated=False)
    agent.policy.set_training_mode(True)
    return agent


def _sample(agent: CoReSAC) -> SequenceBatch:
    settings = agent.config.agent
    batch = agent.replay_buffer.sample(settings.batch_size, settings.sequence_length)
    return batch.to(agent.device)


def _parts(agent: CoReSAC, batch: SequenceBatch) -> dict[str, Callable[[], object]]:
    """The parts of a joint update, each forward and backward on its own."""
    model, whole = agent.world_model, batch
    batch = batch._replace(frames=agent.augment(batch.frames, agent.policy.generator))
    noise = model.noise(agent.policy.generator, *batch.mask.shape)
    with torch.no_grad(), agent._autocast():
        x = model.encode(batch.frames)
        prior, posterior = model.observe_encodings(x, batch.actions, batch.is_first, noise)
    assert prior is not None
    features = posterior.features

    def leaf(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().requires_grad_()

    def encoder() -> None:
        with agent._autocast():
            encodings = model.encode(batch.frames)
        encodings.backward(torch.ones_like(encodings))

    def recurrence() -> None:
        with agent._autocast():
            states = model.observe_encodings(leaf(x), batch.actions, batch.is_first, noise)
        # h is one tensor in both.
        outputs = [*dict.fromkeys(field for state in states if state for field in state.tensors)]
        torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])

    def heads() -> None:
        observed = Observed(batch, leaf(x), prior.map(leaf), posterior.map(leaf))
        with agent._autocast():
            losses = model.losses(observed)
        losses.total.backward()

    def critic() -> None:
        for _ in range(agent._settings.agent_updates):
            with agent._autocast():
                loss = agent._critic_loss(leaf(features), batch)
            loss.backward()

    def actor() -> None:
        for _ in range(agent._settings.agent_updates):
            agent._actor_update(features, batch.follows)

    def optimisers() -> None:
        for name in ("model", "critic", "actor"):
            getattr(agent.optimizers, name).step()

    parts: dict[str, Callable[[], object]] = {}
    if agent.augment.steps:
        parts["augmentation"] = lambda: agent.augment(whole.frames, agent.policy.generator)
    parts |= {
        "encoder": encoder,
        "recurrence and prior": recurrence,
        "heads and losses": heads,
        "critic": critic,
        "actor, with its optimiser": actor,
        "optimisers of model, critic and actor": optimisers,
    }
    return parts


def _matrix_product(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    matrix = torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=device).to(dtype)
    return lambda: matrix @ matrix


def _operations(task: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        task()
    return int(counter.get_total_flops())


def _seconds(task: Callable[[], object], device: torch.device) -> float:
    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    synchronize()
    started = time.perf_counter()
    task()
    synchronize()
    return time.perf_counter() - started
