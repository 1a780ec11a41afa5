"""Adaptation at test time: an encoder goes on adjusting to a scene that it was not trained for."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

import gymnasium as gym
import torch
from torch import nn
from torch.optim import Adam

from core_repr.agent.augmentation import Pipeline
from core_repr.agent.replay import SequenceReplayBuffer
from core_repr.world_model import OtherViews
from core_repr.world_model.objectives import KL, Contrastive
from core_repr.wrappers import CoReWrapper

TEACHERS = {"frames": Contrastive, "kl": KL}
"""Objectives that need no rewards: L_c, and the KL divergence from posterior to prior."""


class AdaptingWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Adjusts the encoder of a :class:`~core_repr.CoReWrapper` between episodes, without rewards.

    After each episode, the encoder alone takes steps for L_c and the KL divergence from posterior
    to prior of what it has seen, so that new frames lead to latent states as the model knows them;
    everything else stays as it is. It is for a scene that stays: a camera in another place, other
    colours, another background. That an encoder adapts to a shifted scene without rewards is an
    idea of RePo's (Zhu et al., 2023); these losses are ours. The wrapper's model is changed in
    place.

    Args:
        env: A wrapped environment.
        updates_per_episode: Steps after each episode.
        learning_rate: Of Adam.
        episodes: How many of the newest episodes are learned from.
        seed: Seeds the choice of sequences.

    Attributes:
        updates: Steps so far.

    Raises:
        TypeError: If ``env`` is not a ``CoReWrapper``.
        ValueError: If the model has neither L_c nor a KL divergence, a number does not do, or
            ``Autoreset`` is inside.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import CoReWrapper
        >>> from core_repr.adaptation import AdaptingWrapper
        >>> env = gym.make("distracting_control/cartpole-swingup-v0", difficulty="hard")
        >>> env = AdaptingWrapper(CoReWrapper(env, "cartpole-swingup-easy-v0"))
    """

    def __init__(
        self,
        env: CoReWrapper,
        updates_per_episode: int = 10,
        learning_rate: float = 3e-4,
        episodes: int = 20,
        seed: int = 0,
    ) -> None:
        if not isinstance(env, CoReWrapper):
            raise TypeError(
                f"AdaptingWrapper goes around a CoReWrapper, not a {type(env).__name__}."
            )
        inner: gym.Env[Any, Any] = env
        while isinstance(inner, gym.Wrapper):
            if isinstance(inner, gym.wrappers.Autoreset):
                raise ValueError(
                    "AdaptingWrapper learns when reset() tells that an episode has ended; leave "
                    "out Autoreset."
                )
            inner = inner.env
        for name, number in (("updates_per_episode", updates_per_episode), ("episodes", episodes)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"{name}={number!r} does not do: expected a number, at least 1.")
        if not 0 < learning_rate < math.inf:
            raise ValueError(
                f"learning_rate={learning_rate} does not do: it must be above 0, and finite."
            )
        gym.utils.RecordConstructorArgs.__init__(
            self,
            updates_per_episode=updates_per_episode,
            learning_rate=learning_rate,
            episodes=episodes,
            seed=seed,
        )
        gym.Wrapper.__init__(self, env)
        self._latents = env
        self.model = model = env.model
        self._terms = [
            slot
            for slot, kind in TEACHERS.items()
            if slot in model.objectives and isinstance(model.objectives[slot], kind)
        ]
        if not self._terms:
            raise ValueError(
                "The model was trained without L_c and without a KL divergence, so there is "
                "nothing to adjust its encoder by; take the variant core."
            )
        self._updates_per_episode, self._episodes = updates_per_episode, episodes
        config = model.config
        assert config.environment is not None
        side = config.world_model.frame_size
        self._buffer = SequenceReplayBuffer(
            2**40,
            (side, side, 3),
            config.environment.action_size,
            seed,
            proprioception_size=config.environment.proprioception_size,
        )
        self._augment = Pipeline(config.augmentation, config.world_model, model.device)
        self._generator = torch.Generator().manual_seed(seed)
        self._parameters = [*model.encoder.parameters()]
        self._optimizer = Adam(self._parameters, learning_rate)
        self._last: Any = None
        self._steps = 0
        self.updates = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Learns from the episode that has ended, and starts the next one."""
        if self._steps:
            self._buffer.end_episode(0, *self._last, terminated=False)
            while len(self._buffer.episodes) > self._episodes:
                self._buffer.drop_oldest()
            self._adapt()
        self._buffer.discard_staged()
        self._steps = 0
        observation, info = self.env.reset(seed=seed, options=options)
        self._last = self._latents.last_input[:2]
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Takes a step, and keeps what the model has seen."""
        result = self.env.step(action)
        frame, proprioception, taken = self._latents.last_input
        self._buffer.add(0, self._last[0], taken, 0.0, self._last[1])
        self._last = frame, proprioception
        self._steps += 1
        return result

    def _adapt(self) -> None:
        model, settings = self.model, self.model.config.agent
        wanted = {name: p.requires_grad for name, p in model.named_parameters()}
        model.requires_grad_(False)
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        for _ in range(self._updates_per_episode):
            batch = self._buffer.sample(settings.batch_size, settings.sequence_length)
            batch = batch.to(model.device)
            views = [
                self._augment(batch.frames, self._generator) for _ in range(model.objectives.views)
            ]
            others = OtherViews(batch.frames, views[1] if len(views) > 1 else None)
            with torch.inference_mode(False), torch.enable_grad():
                noise = model.noise(self._generator, *batch.mask.shape)
                seen = model.observe_batch(batch._replace(frames=views[0]), noise, others)
                loss = model.objectives.weighted(seen, self._terms)
                self._optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self._parameters, 1.0)
                self._optimizer.step()
            self.updates += 1
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted[name])
            parameter.grad = None
