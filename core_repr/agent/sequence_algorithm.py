"""SequenceAlgorithm: what every algorithm that learns from sequences of whole episodes does.

It is to them what Stable-Baselines3's ``OffPolicyAlgorithm`` is to its SAC.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from core_repr.adapters import bounded, find_pixels, find_proprioception, keep_last
from core_repr.agent import environment, learning_state
from core_repr.agent.augmentation import Pipeline
from core_repr.agent.averaging import MovingAverage
from core_repr.agent.collecting import Collecting
from core_repr.agent.policy import CoRePolicy
from core_repr.agent.replay import SequenceReplayBuffer
from core_repr.agent.saving import Saving
from core_repr.config import PRESETS, CoReConfig, LearningConfig
from core_repr.hub.model_folder import check_config
from core_repr.world_model import SequenceBatch

Parameters = list[Tensor]
"""Of ``Tensor``, not of ``Parameter``: torch's foreach functions take no other."""

FAST_BFLOAT16 = ("amx_bf16", "avx512_bf16")
"""What a processor can do that multiplies bfloat16 faster than float32."""


class SequenceAlgorithm(Collecting, Saving):
    """Collects whole episodes, then makes the updates that their steps call for.

    ``config.agent.updates_per_step`` says how many. An algorithm says what its optimisers are and
    what an update is. Frames stay channels-last; actions are scaled to [−1, 1] inside.

    Args:
        policy: ``"CoRePolicy"``, or a subclass of it.
        env: Environment with square RGB frames, or a ``Dict`` of them and flat ``Box`` entries,
            which are taken as proprioception, and a bounded ``Box`` of actions; a Gymnasium
            environment, an id, or an SB3 ``VecEnv``. As :class:`~core_repr.CoReWrapper`'s, frames
            may have their channels first, may be stacked, floats in [0, 1], or larger than
            ``config.world_model.frame_size``, and of any layout in memory.
        config: A preset's name (``"compact"``, ``"paper"``) or a config; the environment in it
            is filled in from ``env``.
        stats_window_size: Episodes over which the logged return is averaged.
        tensorboard_log: Folder for TensorBoard.
        verbose: 0 silent, 1 information, 2 debugging.
        seed: Seeds networks, replay, exploration and environment.
        device: Where the networks are, ``"auto"`` takes a GPU where there is one.
        learning_rate_schedule: Factor of all learning rates of the config, a function of the
            remaining progress, which falls from 1 to 0, such as SB3's
            ``LinearSchedule(1.0, 0.1, 1.0)``. It cannot be saved: pass it again to :meth:`load`.
        replay_folder: Keeps the replay buffer in files there, which are mapped into memory,
            instead of in memory alone.

    Raises:
        TypeError: If the observations hold no RGB frames, or the actions are not a ``Box``.
        ValueError: If policy, frames, proprioception or actions are not of these forms.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"CoRePolicy": CoRePolicy}
    settings: ClassVar[type[LearningConfig]]
    """The class of ``config.agent`` that it is for."""

    def __init__(
        self,
        policy: str | type[CoRePolicy],
        env: GymEnv | str | None,
        config: CoReConfig | str = "compact",
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        learning_rate_schedule: Schedule | None = None,
        replay_folder: str | Path | None = None,
    ) -> None:
        if isinstance(config, str):
            if config not in PRESETS:
                raise ValueError(
                    f"There is no preset {config!r}; the presets are {', '.join(PRESETS)}."
                )
            config = PRESETS[config]()
        aliases, name = self.policy_aliases, type(self).__name__
        if not (policy in aliases if isinstance(policy, str) else issubclass(policy, CoRePolicy)):
            raise ValueError(f"{name}'s policy is 'CoRePolicy' or a subclass of it, not {policy}.")
        settings = config.agent
        super().__init__(
            policy,
            env,  # type: ignore[arg-type]
            learning_rate=settings.critic_learning_rate,
            buffer_size=settings.replay_size,
            learning_starts=settings.learning_starts,
            batch_size=settings.batch_size,
            tau=settings.target_rate,
            gamma=settings.discount,
            gradient_steps=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
            sde_support=False,
        )
        if self.env is None:
            if config.environment is None:
                raise ValueError("Without an env, the config must name its environment.")
            self.observation_space = environment.observation_space(config)
            self.action_space = environment.action_space(config.environment)
            self.n_envs = 1
        else:
            config = environment.record_environment(config, self.env)
        if not isinstance(config.agent, self.settings):
            raise ValueError(
                f"{type(self).__name__} takes a config whose agent is a {self.settings.__name__}, "
                f"not a {type(config.agent).__name__}; load_agent finds the class of a model."
            )
        # Now, not after hours of training.
        check_config(config)
        assert config.environment is not None
        self.config = config
        self.environment_config = config.environment
        self.learning_rate_schedule = learning_rate_schedule
        self.safe_point = lambda: None
        self._replay_folder = None if replay_folder is None else Path(replay_folder)
        self._losses: defaultdict[int, dict[str, Tensor]] = defaultdict(dict)
        self._setup_model()

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """Makes a ``VecEnv`` of any environment, and leaves the frames as they are."""
        if isinstance(env, VecEnv):
            keep_last(env)
        else:
            find_proprioception(env.observation_space, find_pixels(env.observation_space))
            env = environment.CheckedSteps(env)
            if monitor_wrapper and not is_wrapped(env, Monitor):
                env = Monitor(env)
            single = env
            env = DummyVecEnv([lambda: single])
        bounded(env.action_space)
        return env

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self._convert_train_freq()
        config, settings = self.config, self.config.agent
        assert issubclass(self.policy_class, CoRePolicy)
        self.policy = self.policy_class(
            self.observation_space,
            self.action_space,  # type: ignore[arg-type]
            self.lr_schedule,
            config=config,
        ).to(self.device)
        if self.seed is None:
            self.policy.generator.seed()
        else:
            self.policy.generator.manual_seed(self.seed)
        side = config.world_model.frame_size
        self.replay_buffer = SequenceReplayBuffer(
            settings.replay_size,
            (side, side, 3),
            self.environment_config.action_size,
            self.seed,
            self._replay_folder,
            self.environment_config.proprioception_size,
        )
        self.world_model = self.policy.world_model
        self.augment = Pipeline(config.augmentation, config.world_model, self.device)
        self.optimizers = SimpleNamespace(**self._make_optimizers())
        acting = {"world_model": self.world_model, "actor": self.policy.actor_critic.actor}
        self.average = MovingAverage(
            {
                f"{part}.{name}": parameter
                for part, module in acting.items()
                for name, parameter in module.named_parameters()
            },
            settings.averaging_rate,
        )
        self._autocast_dtype = autocast_dtype(settings.precision, self.device)

    @abstractmethod
    def _make_optimizers(self) -> dict[str, Optimizer]:
        """Returns name → optimiser; the parameters of each must be named."""

    @abstractmethod
    def _update(self, batch: SequenceBatch) -> None:
        """Learns from a mini-batch of whole frames."""

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Sets where to learn from now on, and records it in the config.

        Args:
            env: With the observations and actions of the environment before.
            force_reset: Whether to start new episodes even if it is the environment before.

        Raises:
            ValueError: If observations, actions or the action repeat are others, or the number
                of environments is.
        """
        env = self._wrap_env(env, self.verbose)
        config = environment.record_environment(self.config, env)
        check_config(config)
        if self.env is not None and env.num_envs != self.n_envs:
            raise ValueError(
                f"The agent learns in {self.n_envs} environments at once, but got {env.num_envs}; "
                "load it with these instead."
            )
        self.policy.config = config
        # A config knows neither the frames' form, nor the actions' shape and type.
        self.policy.adapt_to(env.observation_space, bounded(env.action_space))
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.n_envs = env.num_envs
        super().set_env(env, force_reset)
        self.config = self.world_model.config = config
        assert config.environment is not None
        self.environment_config = config.environment

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Learns for ``total_timesteps`` agent steps; see SB3's ``OffPolicyAlgorithm.learn``."""
        name = tb_log_name or type(self).__name__
        return super().learn(
            total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar
        )

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Makes the updates that the collected steps call for.

        Learning starts when the replay buffer holds ``config.agent.learning_starts`` steps, also
        for an agent that was loaded without one.

        Args:
            gradient_steps: Not used: what is due was counted while collecting.
            batch_size: Not used: it stands in the config.
        """
        self.make_due_updates()

    def make_due_updates(self) -> None:
        """Makes the updates that are due, with a safe point before each."""
        self.policy.set_training_mode(True)
        settings = self.config.agent
        if not self.replay_buffer.episodes:
            # An agent that was loaded without its episodes owes nothing for them.
            self.updates_due, self.uncounted_steps = self.updates_due % 1, 0
        learning_state.set_learning_rates(self)
        while self.updates_due >= 1:
            self.safe_point()
            self.update(self._sample().to(self.device))
            self.updates_due -= 1
        self.read_losses()
        if self.updates > settings.initial_updates:
            self.acts_at_random = False

    def _sample(self) -> SequenceBatch:
        """Returns a mini-batch of whole frames for an update."""
        settings = self.config.agent
        return self.replay_buffer.sample(settings.batch_size, settings.sequence_length)

    def update(self, batch: SequenceBatch) -> None:
        """Makes one update.

        Args:
            batch: A mini-batch of whole frames, on the algorithm's device.
        """
        self._update(batch)
        self._count_update()

    def _count_update(self) -> None:
        self.note(self.world_model.objectives.diagnostics())
        self.updates += 1
        self.average.update(self.updates)

    def note(self, values: Mapping[str, Float[Tensor, ""]]) -> None:
        """Keeps losses and the like of this update for the log; nothing waits for a device.

        Args:
            values: Name → value. What comes first is named when it is not finite: causes before
                their effects.
        """
        self._losses[self.updates].update(values)

    def read_losses(self) -> None:
        """Hands what was noted to the logger.

        Raises:
            FloatingPointError: If something is not finite.
        """
        if not self._losses:
            return
        noted, self._losses = self._losses, defaultdict(dict)
        numbers = iter(torch.stack([v for each in noted.values() for v in each.values()]).tolist())
        for update, names in noted.items():
            for name, number in zip(names, numbers, strict=False):
                if not -torch.inf < number < torch.inf:
                    raise FloatingPointError(
                        f"The {name.replace('_', ' ')} is {number} at update {update + 1}, agent "
                        f"step {self.num_timesteps}: learning stops. Resume from what was saved "
                        "last, with smaller learning rates, or scale rewards that are very large."
                    )
                self.logger.record_mean(f"train/{name}", number)
        self.logger.record("train/n_updates", self.updates, exclude="tensorboard")

    def _clip(self, name: str, parameters: Parameters, limit: float) -> None:
        self.note({f"{name}_gradient_norm": nn.utils.clip_grad_norm_(parameters, limit)})

    def dump_logs(self) -> None:
        """Writes a line of the log; ``time/env_steps`` counts simulator steps."""
        self.read_losses()
        self.logger.record("time/env_steps", self.env_steps)
        super().dump_logs()

    @property
    def precision(self) -> str:
        """``"bfloat16"`` or ``"float32"``: what ``config.agent.precision`` comes to here."""
        return "float32" if self._autocast_dtype is None else "bfloat16"

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(
            self.device.type, self._autocast_dtype, enabled=self._autocast_dtype is not None
        )


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Returns the type that the networks run in under autocast; ``None`` for float32.

    Args:
        precision: ``LearningConfig.precision``.
        device: Where they run.
    """
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            can = torch.cpu.get_capabilities()
            fast = device.type == "cpu" and any(can.get(name) for name in FAST_BFLOAT16)
        precision = "bfloat16" if fast else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None
