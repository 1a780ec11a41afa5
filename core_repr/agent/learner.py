"""What collecting, learning, saving and resuming share of a sequence algorithm."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from types import SimpleNamespace

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import Schedule

from core_repr.agent.averaging import MovingAverage
from core_repr.agent.policy import CoRePolicy
from core_repr.agent.replay import SequenceReplayBuffer
from core_repr.config import CoReConfig, EnvironmentConfig


class SequenceLearner(OffPolicyAlgorithm):
    """The state of an algorithm that learns from sequences of whole episodes.

    Attributes:
        config: Settings of the model, the agent and the learning.
        environment_config: What the config records of the environment.
        optimizers: Name → optimiser, as attributes; the parameters of each are named.
        average: Of the weights that act.
        learning_rate_schedule: Factor of all learning rates; ``None`` for 1.
        updates: Updates made.
        updates_due: Updates that the collected steps call for and that are still to be made.
        uncounted_steps: Agent steps since the last end of an episode, which call for more.
        acts_at_random: Whether the first steps are random.
        safe_point: Called between updates, where nothing is half done; whoever learns over night
            can take a checkpoint there, or raise an error to stop.
    """

    policy: CoRePolicy
    replay_buffer: SequenceReplayBuffer  # type: ignore[assignment]
    config: CoReConfig
    environment_config: EnvironmentConfig
    optimizers: SimpleNamespace
    average: MovingAverage
    learning_rate_schedule: Schedule | None
    safe_point: Callable[[], None]
    updates_due = 0.0
    uncounted_steps = 0
    acts_at_random = True

    @abstractmethod
    def make_due_updates(self) -> None:
        """Makes the updates that are due, with a safe point before each."""

    @abstractmethod
    def read_losses(self) -> None:
        """Hands the losses of the updates since the last call to the logger."""

    @property
    def updates(self) -> int:
        """Updates made."""
        return self._n_updates

    @updates.setter
    def updates(self, count: int) -> None:
        self._n_updates = count

    @property
    def env_steps(self) -> int:
        """Simulator steps taken, before action repeat."""
        return self.num_timesteps * self.environment_config.action_repeat
