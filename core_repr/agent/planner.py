"""Planner: acts by searching for actions in what the world model imagines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from core_repr.agent.algorithms import load_agent
from core_repr.agent.networks import ActorCritic, Acts
from core_repr.agent.policy import RecurrentState
from core_repr.agent.sequence_algorithm import SequenceAlgorithm
from core_repr.world_model import CoReWorldModel, LatentState

Method = Literal["mppi", "cem"]

MIN_STD = 0.05
"""Below it, a search does not narrow."""


class PlanningActor(Acts):
    """Searches for the actions with the greatest imagined return from a latent state on.

    Args:
        model: Imagines.
        networks: Propose actions, and value the last state.
        discount: γ.
        settings: As :class:`Planner` takes them.
    """

    def __init__(
        self,
        model: CoReWorldModel,
        networks: ActorCritic,
        discount: float,
        settings: Mapping[str, Any],
    ) -> None:
        super().__init__()
        # In a tuple: they are not parts of this module, but of the agent.
        self._parts = model, networks
        self._discount = discount
        self._method: Method = settings["method"]
        self._horizon: int = settings["horizon"]
        self._samples: int = settings["samples"]
        self._proposals: int = settings["proposals"]
        self._elites: int = settings["elites"]
        self._iterations: int = settings["iterations"]
        self._temperature: float = settings["temperature"]
        self._initial_std: float = settings["initial_std"]

    def mode(self, features: Float[Tensor, "*batch z"]) -> Float[Tensor, "*batch a"]:
        """Returns the first action that was found, with the same draws every time.

        Each row has a search of its own, so that the others do not count.
        """
        found = [self.search(row[None], torch.Generator().manual_seed(0))[0] for row in features]
        return torch.cat(found)

    def sample(
        self, features: Float[Tensor, "*batch z"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*batch a"], Float[Tensor, "*batch"]]:
        """Returns the action with the noise that the search ended with; densities are 0."""
        generator = torch.default_generator if generator is None else generator
        mean, std = self.search(features, generator)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        return (mean + std * noise).clamp(-1, 1), mean.new_zeros(mean.shape[:-1])

    @torch.no_grad()
    def search(
        self, features: Float[Tensor, "b z"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "b a"], Float[Tensor, "b a"]]:
        """Returns mean and standard deviation of the first action.

        Args:
            features: [h, mean] of the latent states.
            generator: Draws the actions.
        """
        proposed = self._propose(features, generator)
        # The first proposal is what the actor would do.
        mean, std = proposed[:, 0], torch.full_like(proposed[:, 0], self._initial_std)
        for _ in range(self._iterations):
            shape = (len(features), self._samples, *mean.shape[1:])
            noise = torch.randn(shape, generator=generator).to(mean.device)
            drawn = (mean[:, None] + std[:, None] * noise).clamp(-1, 1)
            actions = torch.cat([proposed, drawn], 1)
            scores, best = self.score(features, actions).topk(self._elites, 1)
            elites = actions.gather(1, best[..., None, None].expand(-1, -1, *mean.shape[1:]))
            weights = torch.ones_like(scores)
            if self._method == "mppi":
                correction = int(self._elites > 1)
                spread = scores.std(1, keepdim=True, correction=correction) + 1e-6
                weights = ((scores - scores[:, :1]) / (self._temperature * spread)).exp()
            weights = (weights / weights.sum(1, keepdim=True))[..., None, None]
            mean = (weights * elites).sum(1)
            std = (weights * (elites - mean[:, None]).square()).sum(1).sqrt().clamp(min=MIN_STD)
        return mean[:, 0], std[:, 0]

    def score(
        self, features: Float[Tensor, "b z"], actions: Float[Tensor, "b n h a"]
    ) -> Float[Tensor, "b n"]:
        """Returns the imagined returns of actions: rewards, and the value of the last state.

        What would come after a termination counts as little as it is likely.
        """
        model, _ = self._parts
        batch, count, horizon, _ = actions.shape
        state = self._state(features.repeat_interleave(count, 0))
        taken = actions.flatten(0, 1)
        score = torch.zeros(batch * count, device=features.device)
        weight = torch.ones_like(score)
        for t in range(horizon):
            state = model.dynamics.predict(state, taken[:, t], None)
            score += weight * model.predict_reward(state)
            weight = weight * self._discount * model.predict_continuation(state)
        score += weight * self._value(state.features)
        scores: Tensor = score.view(batch, count)
        return scores

    def _propose(
        self, features: Float[Tensor, "b z"], generator: torch.Generator
    ) -> Float[Tensor, "b n h a"]:
        """Returns what the agent would do: its mode, and samples."""
        model, networks = self._parts
        state = self._state(features.repeat_interleave(self._proposals + 1, 0))
        actions = []
        for _ in range(self._horizon):
            action, _ = networks.actor.sample(state.features, generator)
            by_mode = networks.actor.mode(state.features[:: self._proposals + 1])
            action[:: self._proposals + 1] = by_mode
            actions.append(action)
            state = model.dynamics.predict(state, action, None)
        proposed: Tensor = torch.stack(actions, 1).unflatten(0, (-1, self._proposals + 1))
        return proposed

    def _state(self, features: Float[Tensor, "b z"]) -> LatentState:
        """Returns the latent state whose mean continues."""
        model, _ = self._parts
        h, mean = features.split(
            [model.dynamics.deterministic_size, model.dynamics.stochastic_size], -1
        )
        return LatentState(h, mean, torch.zeros_like(mean), mean)

    def _value(self, features: Float[Tensor, "b z"]) -> Float[Tensor, " b"]:
        _, networks = self._parts
        value: Tensor
        if networks.judge_name == "value":
            value = networks.value(features)
        else:
            value = torch.min(*networks.critic(features, networks.actor.mode(features)))
        return value


class Planner:
    """Acts by planning: imagined rewards, and the agent's own value at the end of them.

    At each step, sequences of actions are drawn about what the agent would do; the best ones, by
    the return that the world model imagines, say where the next ones are drawn. The first action
    of the last ones is taken. The interface is that of Stable-Baselines3's ``predict``, with the
    recurrent state that the agent itself has.

    Source: model predictive path integral control as in Hansen et al., 2024, "TD-MPC2: Scalable,
    Robust World Models for Continuous Control", and the cross-entropy method as in Hafner et al.,
    2019, "Learning Latent Dynamics for Planning from Pixels".

    Args:
        agent: An agent, or a zoo name, a folder or a Hub repository of one.
        method: ``"mppi"`` weighs the best sequences by their returns, ``"cem"`` all alike.
        horizon: Agent steps that are imagined. The card of a model tells how well it foresees
            rewards.
        samples: Sequences that are drawn in an iteration.
        proposals: Sequences of the agent's own, besides its mode.
        elites: The best ones, which the next iteration is drawn about.
        iterations: Of a decision.
        temperature: Of the weights, in standard deviations of the best returns.
        initial_std: Standard deviation of the actions about those of the agent, in [−1, 1].

    Attributes:
        agent: The agent.

    Raises:
        ValueError: If the model imagines no rewards, or a number does not do.
        OSError: If there is no such model, or the Hub cannot be reached.

    Example:
        >>> import numpy as np
        >>> from core_repr.agent import Planner
        >>> planner = Planner("cartpole-swingup-easy-v0")
        >>> frame = np.zeros((72, 72, 3), np.uint8)
        >>> action, state = planner.predict(frame, deterministic=True)
        >>> action.shape
        (1,)
    """

    def __init__(
        self,
        agent: SequenceAlgorithm | str | os.PathLike[str],
        *,
        method: Method = "mppi",
        horizon: int = 5,
        samples: int = 64,
        proposals: int = 8,
        elites: int = 16,
        iterations: int = 3,
        temperature: float = 0.5,
        initial_std: float = 0.5,
    ) -> None:
        settings = {
            "horizon": horizon,
            "samples": samples,
            "proposals": proposals,
            "elites": elites,
            "iterations": iterations,
        }
        for name, number in settings.items():
            lowest = 0 if name == "proposals" else 1
            if isinstance(number, bool) or not isinstance(number, int) or number < lowest:
                raise ValueError(
                    f"{name}={number!r} does not do: expected a number, at least {lowest}."
                )
        if method not in get_args(Method):
            raise ValueError(f"method={method!r} is unknown: expected 'mppi' or 'cem'.")
        if not (temperature > 0 and initial_std > 0):
            raise ValueError(
                "temperature and initial_std must be above 0, not "
                f"{temperature:g} and {initial_std:g}."
            )
        if elites > samples + proposals + 1:
            raise ValueError(
                f"elites={elites} does not do: there are {samples + proposals + 1} sequences, "
                "samples, proposals and the agent's mode."
            )
        self.agent = agent if isinstance(agent, SequenceAlgorithm) else load_agent(agent, None)
        model, networks = self.agent.world_model, self.agent.policy.actor_critic
        # Each says what is missing.
        blank = model.initial_state(1)
        model.predict_reward(blank)
        model.imagine(blank, blank.h.new_zeros(1, 1, self.agent.environment_config.action_size))
        assert isinstance(networks, ActorCritic)
        self._actor = PlanningActor(
            model,
            networks,
            self.agent.config.agent.discount,
            {**settings, "method": method, "temperature": temperature, "initial_std": initial_std},
        )

    def predict(
        self,
        observation: Any,
        state: RecurrentState | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], RecurrentState]:
        """Returns actions for frames, and the recurrent state to pass to the next call.

        Args:
            observation: As for the agent's ``predict``.
            state: What the last call returned; ``None`` at the start.
            episode_start: ``(B,)``; true where the frame is the first one of an episode.
            deterministic: Whether to take the mean that the search ended with, and not a sample.
        """
        policy = self.agent.policy
        return policy.act(self._actor, observation, state, episode_start, deterministic)
