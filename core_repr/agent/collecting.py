"""Collecting whole episodes, with the latent state that acting needs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import RolloutReturn
from stable_baselines3.common.vec_env import VecEnv

from core_repr.adapters import Observation, last_observations
from core_repr.agent import environment
from core_repr.agent.learner import SequenceLearner
from core_repr.agent.policy import RecurrentState

MANY_STEPS = 10_000
"""More than an episode usually has."""


class Collecting(SequenceLearner):
    """Plays whole episodes into the replay buffer and counts the updates that they call for."""

    _recurrent_state: RecurrentState | None = None

    def _tell_of_termination(self) -> None:
        """Called when an episode has terminated, for algorithms that must say something then."""

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        before = self._last_obs
        result = super()._setup_learn(*args, **kwargs)
        if self._last_obs is not before:
            # The environments were reset: unfinished episodes have no end.
            self.replay_buffer.discard_staged()
            self._recurrent_state = None
        return result

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        *_: Any,
        learning_starts: int = 0,
        log_interval: int | None = None,
        **__: Any,
    ) -> RolloutReturn:
        """Acts until an episode ends in one of the environments.

        Args:
            env: The training environments.
            callback: Called at each step.
            learning_starts: Agent steps of uniform random actions, unless the agent has learned.
            log_interval: Episodes between two lines of the log.

        Returns:
            Steps taken in all environments together, episodes finished, and whether to continue.
        """
        # A training that was interrupted between updates owes the rest of them.
        self.make_due_updates()
        self.policy.set_training_mode(False)
        steps = episodes = 0
        callback.on_rollout_start()
        with self._named_step():
            observation = self._read(self._last_obs)
        while not episodes:
            starts = np.asarray(self._last_episode_starts)
            at_random = self.acts_at_random and self.num_timesteps < learning_starts
            actions, scaled = self._act(observation, starts, at_random)
            self.num_timesteps += env.num_envs
            self.uncounted_steps += env.num_envs
            with self._named_step():
                observations, rewards, dones, infos = env.step(actions)
                environment.check_rewards(rewards)
                # Before anything acts on them.
                next_observation = self._read(observations)
                last = {
                    row: self.policy.reader.finite(seen, [row]).row(0)
                    for row, seen in last_observations(infos, dones).items()
                }
            steps += 1
            if steps == MANY_STEPS:
                warnings.warn(
                    f"No episode has ended within {MANY_STEPS:,} agent steps, and nothing is "
                    "learned before one does; if they have no end, make the environment with a "
                    "time limit, such as gymnasium.make's max_episode_steps.",
                    stacklevel=2,
                )
            self._last_obs = observations  # type: ignore[assignment]
            self._last_episode_starts = dones

            # Before the callback, which may stop the learning: no step is missing when it resumes.
            for i, (done, info) in enumerate(zip(dones, infos, strict=True)):
                frame, proprioception = observation.row(i)
                self.replay_buffer.add(i, frame, scaled[i], rewards[i], proprioception)
                if done:
                    truncated = info.get("TimeLimit.truncated", False)
                    self.replay_buffer.end_episode(i, *last[i], terminated=not truncated)
                    if not truncated:
                        self._tell_of_termination()
            observation = next_observation

            callback.update_locals(locals())
            if not callback.on_step():
                return RolloutReturn(steps * env.num_envs, episodes, continue_training=False)
            self._update_info_buffer(infos, dones)
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)

            for _finished in range(int(dones.sum())):
                episodes += 1
                self._episode_num += 1
                if log_interval is not None and self._episode_num % log_interval == 0:
                    self.dump_logs()
        still_random = self.acts_at_random and self.num_timesteps <= learning_starts
        if not still_random and len(self.replay_buffer) > learning_starts:
            if self.acts_at_random and not self.updates and not self.updates_due:
                self.updates_due = float(self.config.agent.initial_updates)
            self.updates_due += self.uncounted_steps * self.config.agent.updates_per_step
        self.uncounted_steps = 0
        self._check_replay_size(learning_starts)
        callback.on_rollout_end()
        return RolloutReturn(steps * env.num_envs, episodes, continue_training=True)

    def _check_replay_size(self, learning_starts: int) -> None:
        buffer = self.replay_buffer
        if buffer.is_full and len(buffer) <= learning_starts:
            raise ValueError(
                f"The replay buffer is full with {len(buffer)} steps, but learning starts with "
                f"more than {learning_starts}: raise agent.replay_size ({buffer.size}, of which "
                "each episode takes one more than its steps), or lower agent.learning_starts."
            )

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        super()._update_current_progress_remaining(num_timesteps, total_timesteps)
        # The last episode is played to its end, past the last step that was asked for.
        self._current_progress_remaining = max(0.0, self._current_progress_remaining)

    def _read(self, observations: Any) -> Observation:
        """Reads observations; some environments write their next ones to the same arrays."""
        return self.policy.reader.finite(observations).copy()

    @contextmanager
    def _named_step(self) -> Iterator[None]:
        """Names the agent step where environments give what cannot be used."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"At agent step {self.num_timesteps}: {error}") from error

    def _act(
        self, observation: Observation, starts: NDArray[np.bool_], at_random: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns actions in the environment's units, and the same flat in [−1, 1]."""
        if at_random:
            actions = np.stack([self.action_space.sample() for _ in starts])
            scaled = self.policy.actions.to_model(actions)
            # The latent state keeps up, so that the policy can take over in mid-episode.
            state = self._observe(observation, starts)
            action = torch.as_tensor(scaled, device=self.device)
            self._recurrent_state = state._replace(action=action)
            return actions, scaled
        self._recurrent_state = self._observe(observation, starts)
        scaled = self._recurrent_state.action.cpu().numpy()
        return self.policy.actions.to_environment(scaled), scaled

    def _observe(self, observation: Observation, starts: NDArray[np.bool_]) -> RecurrentState:
        state = self._recurrent_state
        if state is None:
            state = self.policy.initial_state(len(starts))
        return self.policy.advance(
            state,
            observation,
            torch.from_numpy(np.asarray(starts, np.bool_)).to(self.device),
            deterministic=False,
        )
