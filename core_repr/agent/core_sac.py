"""CoReSAC: soft actor-critic and a CoRe world model that learn together (Algorithm 1)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import (
    GymEnv,
    MaybeCallback,
    RolloutReturn,
    Schedule,
)
from stable_baselines3.common.utils import get_system_info
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
)
from torch import Tensor, nn

from core_repr.adapters import Observation, bounded, last_observations
from core_repr.agent import agent_folder, environment, learning_state
from core_repr.agent.augmentation import CameraJitter, TextureOverlay
from core_repr.agent.averaging import MovingAverage
from core_repr.agent.policy import CoRePolicy, RecurrentState
from core_repr.agent.replay import MANIFEST_FILE, SequenceReplayBuffer
from core_repr.config import PRESETS, CoReConfig
from core_repr.files.places import refuse_others, user_path, without_ending
from core_repr.world_model import (
    LatentState,
    SequenceBatch,
    WorldModelLosses,
    hub,
    storage,
)
from core_repr.world_model.losses import masked_mean


class CoReSAC(OffPolicyAlgorithm):
    """Recurrent SAC whose critics, actor and world model learn from the same sequences.

    Collects whole episodes, then makes ``config.agent.updates_per_step`` updates for each step.
    Frames stay channels-last; actions are scaled to [−1, 1] inside.

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

    Attributes:
        safe_point: Called between updates, where nothing is half done; whoever learns over night
            can take a checkpoint there, or raise an error to stop.

    Raises:
        TypeError: If the observations hold no RGB frames, or the actions are not a ``Box``.
        ValueError: If policy, frames, proprioception or actions are not of these forms.

    Example:
        >>> import gymnasium as gym, core_repr  # doctest: +SKIP
        >>> env = gym.make("distracting_control/cartpole-swingup-v0")  # doctest: +SKIP
        >>> agent = CoReSAC("CoRePolicy", env).learn(20_000)  # doctest: +SKIP
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"CoRePolicy": CoRePolicy}
    policy: CoRePolicy
    replay_buffer: SequenceReplayBuffer  # type: ignore[assignment]

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
        aliases = self.policy_aliases
        if not (policy in aliases if isinstance(policy, str) else issubclass(policy, CoRePolicy)):
            raise ValueError(f"CoReSAC's policy is 'CoRePolicy' or a subclass of it, not {policy}.")
        settings = config.agent
        super().__init__(
            policy,
            env,  # type: ignore[arg-type]
            learning_rate=settings.actor_learning_rate,
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
        # Now, not after hours of training.
        storage.check_config(config)
        assert config.environment is not None
        self.config = config
        self.environment_config = config.environment
        self._recurrent_state: RecurrentState | None = None
        self._updates_due = 0.0
        self._uncounted_steps = 0
        self._acts_at_random = True
        self._gradient_norms: dict[str, Tensor] = {}
        self.learning_rate_schedule = learning_rate_schedule
        self._replay_folder = None if replay_folder is None else Path(replay_folder)
        self.safe_point: Callable[[], None] = lambda: None
        self._setup_model()

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """Makes a ``VecEnv`` of any environment, and leaves the frames as they are."""
        if not isinstance(env, VecEnv):
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
        settings = self.config.agent
        assert issubclass(self.policy_class, CoRePolicy)
        self.policy = self.policy_class(
            self.observation_space,
            self.action_space,  # type: ignore[arg-type]
            self.lr_schedule,
            config=self.config,
        ).to(self.device)
        if self.seed is None:
            self.policy.generator.seed()
        else:
            self.policy.generator.manual_seed(self.seed)
        side = self.config.world_model.frame_size
        self.replay_buffer = SequenceReplayBuffer(
            settings.replay_size,
            (side, side, 3),
            self.environment_config.action_size,
            self.config.world_model.crop_size,
            self.seed,
            self._replay_folder,
            self.environment_config.proprioception_size,
        )

        self.world_model = self.policy.world_model
        self.agent = self.policy.agent
        # Lists of `Tensor`, not of `Parameter`: torch's foreach functions take no other.
        encoder: list[Tensor] = list(self.world_model.encoder.parameters())
        others: list[Tensor] = [
            parameter
            for name, parameter in self.world_model.named_parameters()
            if not name.startswith("encoder.") and name != "inverse_temperature_logit"
        ]
        self._theta = encoder + others
        self._critic_target_parameters: list[Tensor] = [*self.agent.critic_target.parameters()]
        self._critic_parameters: list[Tensor] = list(self.agent.critic.parameters())
        self._actor_parameters: list[Tensor] = list(self.agent.actor.parameters())
        acting = {"world_model": self.world_model, "actor": self.agent.actor}
        self._average = MovingAverage(
            {
                f"{part}.{name}": parameter
                for part, module in acting.items()
                for name, parameter in module.named_parameters()
            },
            settings.averaging_rate,
        )
        temperature: list[Tensor] = [self.world_model.inverse_temperature_logit]
        self._model_parameters = self._theta + temperature
        self.model_optimizer = torch.optim.Adam(
            [
                {"params": encoder, "lr": settings.encoder_learning_rate},
                {"params": others, "lr": settings.model_learning_rate},
                {"params": temperature, "lr": settings.temperature_learning_rate},
            ],
            fused=True,
        )
        critic_groups = [{"params": self._critic_parameters, "lr": settings.critic_learning_rate}]
        if not settings.joint_update and settings.critic_weight:
            rate = settings.critic_to_model_learning_rate
            critic_groups.append({"params": self._theta, "lr": rate})
        self.critic_optimizer = torch.optim.Adam(critic_groups, fused=True)
        self.actor_optimizer = torch.optim.Adam(
            self._actor_parameters, lr=settings.actor_learning_rate, fused=True
        )
        self.entropy_optimizer = torch.optim.Adam(
            [self.agent.log_entropy_weight], lr=settings.entropy_learning_rate, betas=(0.5, 0.999)
        )
        self.target_entropy = -float(self.environment_config.action_size)
        self._update_model_and_critic = (
            self._joint_update if settings.joint_update else self._sequential_update
        )
        self._autocast_dtype = autocast_dtype(settings.precision, self.device)

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
        storage.check_config(config)
        if self.env is not None and env.num_envs != self.n_envs:
            raise ValueError(
                f"The agent learns in {self.n_envs} environments at once, but got {env.num_envs}; "
                "load it with these instead."
            )
        # A config knows neither the frames' form, nor the actions' shape and type.
        self.policy.adapt_to(env.observation_space, bounded(env.action_space))
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.n_envs = env.num_envs
        super().set_env(env, force_reset)
        self.config = self.policy.config = self.world_model.config = config
        assert config.environment is not None
        self.environment_config = config.environment

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "CoReSAC",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> "CoReSAC":
        """Learns for ``total_timesteps`` agent steps; see SB3's ``OffPolicyAlgorithm.learn``."""
        return super().learn(
            total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar
        )

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
            Steps taken in all environments together, episodes finished, and whether to go on.
        """
        # A training that was interrupted between updates owes the rest of them.
        self._work_off_updates()
        self.policy.set_training_mode(False)
        steps = episodes = 0
        callback.on_rollout_start()
        with self._named_step():
            observation = self._read(self._last_obs)
        while not episodes:
            starts = np.asarray(self._last_episode_starts)
            at_random = self._acts_at_random and self.num_timesteps < learning_starts
            actions, scaled = self._act(observation, starts, at_random)
            self.num_timesteps += env.num_envs
            self._uncounted_steps += env.num_envs
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
            self._last_obs = observations  # type: ignore[assignment]
            self._last_episode_starts = dones

            # Before the callback, which may stop the learning: no step is missing when it goes on.
            for i, (done, info) in enumerate(zip(dones, infos, strict=True)):
                frame, proprioception = observation.row(i)
                self.replay_buffer.add(i, frame, scaled[i], rewards[i], proprioception)
                if done:
                    truncated = info.get("TimeLimit.truncated", False)
                    self.replay_buffer.end_episode(i, *last[i], terminated=not truncated)
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
        still_random = self._acts_at_random and self.num_timesteps <= learning_starts
        if not still_random and len(self.replay_buffer) > learning_starts:
            if self._acts_at_random and not self._n_updates and not self._updates_due:
                self._updates_due = float(self.config.agent.initial_updates)
            self._updates_due += self._uncounted_steps * self.config.agent.updates_per_step
        self._uncounted_steps = 0
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

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Makes the updates that the collected steps call for.

        Each mini-batch serves J_M, J_Q and J_π, one after the other or, in the joint update, the
        first two at once. Learning starts when the replay buffer holds
        ``config.agent.learning_starts`` steps, also for an agent that was loaded without one.

        Args:
            gradient_steps: Not used: what is due was counted while collecting.
            batch_size: Not used: it stands in the config.
        """
        self._work_off_updates()

    def _work_off_updates(self) -> None:
        self.policy.set_training_mode(True)
        settings = self.config.agent
        if not self.replay_buffer.episodes:
            # An agent that was loaded without its episodes owes nothing for them.
            self._updates_due, self._uncounted_steps = self._updates_due % 1, 0
        learning_state.set_learning_rates(self)
        while self._updates_due >= 1:
            self.safe_point()
            batch = self.replay_buffer.sample(settings.batch_size, settings.sequence_length)
            self.update(batch.to(self.device))
            self._updates_due -= 1
        if self._n_updates > settings.initial_updates:
            self._acts_at_random = False

    def update(self, batch: SequenceBatch) -> None:
        """Makes one update of world model, critics, actor and entropy weight.

        The first ``config.agent.initial_updates`` are of the world model alone, unless the agent
        was loaded.
        """
        batch = batch._replace(frames=self._augment(batch.frames))
        critic_loss = actor_loss = entropy = None
        if self._acts_at_random and self._n_updates < self.config.agent.initial_updates:
            losses = self._model_update(batch)
        else:
            losses, critic_loss, features = self._update_model_and_critic(batch)
            for further in range(self.config.agent.agent_updates):
                if further:
                    critic_loss = self._critic_update(features, batch)
                actor_loss, entropy = self._actor_update(features, batch.mask)
                with torch.no_grad():
                    torch._foreach_lerp_(
                        self._critic_target_parameters, self._critic_parameters, self.tau
                    )
        self._n_updates += 1
        self._average.update(self._n_updates)
        self._log_update(losses, critic_loss, actor_loss, entropy)

    def _augment(
        self, frames: UInt8[Tensor, "t b side side 3"]
    ) -> UInt8[Tensor, "t b side side 3"]:
        """Returns a mini-batch's frames as the learner sees them."""
        settings = self.config.agent
        if settings.camera_jitter > 0:
            frames = CameraJitter(settings.camera_jitter)(frames, self.policy.generator)
        if settings.texture_opacity > 0:
            frames = self._overlay(frames, self.policy.generator)
        return frames

    @cached_property
    def _overlay(self) -> TextureOverlay:
        settings = self.config.agent
        return TextureOverlay(
            self.config.world_model.crop_size,
            settings.texture_opacity,
            settings.color_jitter,
            self.device,
        )

    def _joint_update(
        self, batch: SequenceBatch
    ) -> tuple[WorldModelLosses, Float[Tensor, ""], Float[Tensor, "t b z"]]:
        """One forward pass and one step for J_M and, with a limited weight, J_Q."""
        with self._autocast():
            losses, posterior = self._model_losses(batch)
            features = posterior.features
            # The critics' gradient stops here first, to be limited.
            latents = features.detach().requires_grad_()
            critic_loss = self._critic_loss(latents, batch)
        self.model_optimizer.zero_grad()
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        assert latents.grad is not None
        latents.grad *= self.config.agent.critic_weight
        self._clip("latent", [latents], self.config.agent.latent_max_gradient_norm)
        torch.autograd.backward([losses.total, features], [None, latents.grad])
        self._clip("model", self._model_parameters, self.config.agent.model_max_gradient_norm)
        self.model_optimizer.step()
        self._step_critics()
        return losses, critic_loss, latents.detach()

    def _sequential_update(
        self, batch: SequenceBatch
    ) -> tuple[WorldModelLosses, Float[Tensor, ""], Float[Tensor, "t b z"]]:
        """A step for J_M, then a fresh forward pass and a step for J_Q, which may move Θ too."""
        losses = self._model_update(batch)
        into_model = self.config.agent.critic_weight > 0
        with self._autocast(), torch.set_grad_enabled(into_model):
            noise = self.world_model.noise(self.policy.generator, *batch.mask.shape)
            _, posterior = self.world_model.observe(
                batch.frames, batch.actions, batch.is_first, noise, batch.proprioception
            )
            features = posterior.features
        with self._autocast():
            critic_loss = self._critic_loss(features, batch)
        self.model_optimizer.zero_grad()
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        if into_model:
            gradients = [p.grad for p in self._theta if p.grad is not None]
            self._gradient_norms["critic_to_model"] = nn.utils.get_total_norm(gradients)
        self._step_critics()
        return losses, critic_loss, features.detach()

    def _model_update(self, batch: SequenceBatch) -> WorldModelLosses:
        """A step for J_M alone."""
        with self._autocast():
            losses, _ = self._model_losses(batch)
        self.model_optimizer.zero_grad()
        losses.total.backward()
        self._clip("model", self._model_parameters, self.config.agent.model_max_gradient_norm)
        self.model_optimizer.step()
        return losses

    def _model_losses(self, batch: SequenceBatch) -> tuple[WorldModelLosses, LatentState]:
        noise = self.world_model.noise(self.policy.generator, *batch.mask.shape)
        x = self.world_model.encode(batch.frames, batch.proprioception)
        prior, posterior = self.world_model.observe_encodings(
            x, batch.actions, batch.is_first, noise
        )
        return self.world_model.losses(batch, x, prior, posterior), posterior

    def _clip(self, name: str, parameters: list[Tensor], limit: float) -> None:
        self._gradient_norms[name] = nn.utils.clip_grad_norm_(parameters, limit)

    def _critic_loss(
        self, features: Float[Tensor, "t b z"], batch: SequenceBatch
    ) -> Float[Tensor, ""]:
        """J_Q, equations (3) and (4)."""
        with torch.no_grad():
            later = features[1:].detach()
            action, log_density = self.agent.actor.sample(later, self.policy.generator)
            value = torch.min(*self.agent.critic_target(later, action))
            value = value - self.agent.entropy_weight * log_density
            value = value.masked_fill(batch.terminated[:-1], 0)
            target = batch.rewards[:-1] + self.gamma * value
        first, second = self.agent.critic(features[:-1], batch.actions[:-1])
        error = (first - target).square() + (second - target).square()
        return masked_mean(error, batch.mask[1:])

    def _critic_update(
        self, features: Float[Tensor, "t b z"], batch: SequenceBatch
    ) -> Float[Tensor, ""]:
        """A step of the critics alone for J_Q."""
        with self._autocast():
            loss = self._critic_loss(features, batch)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self._step_critics()
        return loss

    def _step_critics(self) -> None:
        self._clip("critic", self._critic_parameters, self.config.agent.critic_max_gradient_norm)
        self.critic_optimizer.step()

    def _actor_update(
        self, features: Float[Tensor, "t b z"], mask: Tensor
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """A step of the actor for J_π, equation (5), and of the entropy weight.

        Both are means over the frames that an action follows, as J_Q is.
        """
        acting, mask = features[:-1], mask[1:]
        with self._autocast():
            action, log_density = self.agent.actor.sample(acting, self.policy.generator)
            self.agent.critic.requires_grad_(False)
            value = torch.min(*self.agent.critic(acting, action))
            self.agent.critic.requires_grad_(True)
            loss = masked_mean(self.agent.entropy_weight * log_density - value, mask)
        self.actor_optimizer.zero_grad()
        loss.backward()
        self._clip("actor", self._actor_parameters, self.config.agent.actor_max_gradient_norm)
        self.actor_optimizer.step()

        entropy = -masked_mean(log_density.detach(), mask)
        self._entropy_weight_update(entropy)
        return loss.detach(), entropy

    def _entropy_weight_update(self, entropy: Float[Tensor, ""]) -> None:
        """A step of the entropy weight α for α · (H − H̄), with the entropy H in nats."""
        log_weight = self.agent.log_entropy_weight
        self.entropy_optimizer.zero_grad()
        (log_weight.exp() * (entropy - self.target_entropy)).backward()
        self._clip("entropy_weight", [log_weight], 1.0)
        self.entropy_optimizer.step()
        with torch.no_grad():
            log_weight.clamp_(max=self.config.agent.max_log_entropy_weight)

    def _log_update(
        self,
        losses: WorldModelLosses,
        critic_loss: Tensor | None,
        actor_loss: Tensor | None,
        entropy: Tensor | None,
    ) -> None:
        # What comes first is named when it is not finite: causes before their effects.
        values = {
            "contrastive_loss": losses.contrastive,
            "contrastive_chance": losses.contrastive_chance,
            "kl": losses.kl,
            "reward_loss": losses.reward,
            "inverse_dynamics_loss": losses.inverse_dynamics,
            "model_loss": losses.total,
            "critic_loss": critic_loss,
            **{f"{name}_gradient_norm": norm for name, norm in self._gradient_norms.items()},
            "actor_loss": actor_loss,
            "policy_entropy": entropy,
            "entropy_weight": self.agent.entropy_weight,
            "inverse_temperature": self.world_model.inverse_temperature,
        }
        for name, value in values.items():
            if value is None:
                continue
            number = value.item()
            if not np.isfinite(number):
                raise FloatingPointError(
                    f"The {name.replace('_', ' ')} is {number} at update {self._n_updates}, agent "
                    f"step {self.num_timesteps}: learning stops. Go on from what was saved last, "
                    "with smaller learning rates."
                )
            self.logger.record_mean(f"train/{name}", number)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def dump_logs(self) -> None:
        """Writes a line of the log; ``time/env_steps`` counts simulator steps."""
        self.logger.record("time/env_steps", self.env_steps)
        super().dump_logs()

    @property
    def env_steps(self) -> int:
        """Simulator steps taken, before action repeat."""
        return self.num_timesteps * self.environment_config.action_repeat

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(
            self.device.type, self._autocast_dtype, enabled=self._autocast_dtype is not None
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json``, ``model.safetensors``, ``agent.safetensors`` and a model card.

        Args:
            folder: Made if needed. A ``README.md`` that is there already stays, and so does
                whatever has another name than these files.

        Raises:
            FileExistsError: If the folder holds what :meth:`save` wrote.
            ValueError: If the files could not be loaded again.
            OSError: If they cannot be written; what was there before stays.
        """
        if (user_path(folder) / learning_state.VALUES_FILE).exists():
            raise FileExistsError(
                f"{folder} holds an agent with its optimisers, which would not belong to new "
                "weights; use CoReSAC.save, or choose another folder."
            )
        agent_folder.save(folder, self.config, self.world_model, self.agent)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool = False,
        commit_message: str = "A CoRe world model with its agent",
    ) -> str:
        """Uploads what :meth:`save_pretrained` writes; see ``CoReWorldModel.push_to_hub``."""
        return hub.push(
            self.save_pretrained,
            self.config,
            repo_id,
            message=commit_message,
            private=private,
            token=token,
            branch=branch,
            create_pr=create_pr,
        )

    def save(  # type: ignore[override]
        self, path: str | Path, exclude: Iterable[str] | None = None, include: Any = None
    ) -> None:
        """Saves what learning goes on from to a folder, whole or not at all, without a pickle.

        The folder holds what :meth:`save_pretrained` writes, and the state of optimisers,
        counters and random generators. The replay buffer is saved by itself.

        Args:
            path: The folder; the ending ``.zip``, which SB3's callbacks add, is left out.
            exclude: Not used; SB3's callbacks pass it.
            include: Not used.

        Raises:
            FileExistsError: If there is something else than an earlier save; what a user keeps
                in that beside its files stays.
            ValueError: If the files could not be loaded again.
            OSError: If they cannot be written; what was there before stays.
        """
        place = without_ending(path, ".zip")
        refuse_others(place, agent_folder.FILES, foreign=MANIFEST_FILE)
        agent_folder.save(
            place,
            self.config,
            self.world_model,
            self.agent,
            lambda folder: learning_state.write(self, folder),
        )

    def save_checkpoint(self, folder: Path) -> None:
        """Writes the files of :meth:`save`, without a card, into an empty folder."""
        agent_folder.write(folder, self.config, self.world_model, self.agent)
        learning_state.write(self, folder)

    def load_weights(self, folder: Path) -> None:
        """Takes the weights of a folder of :meth:`save_pretrained`; see there for the errors."""
        agent_folder.load(folder, self.world_model, self.agent)
        self._average.reset()

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Within this context, world model and actor have their averages of the last updates.

        An evaluation or :meth:`save_pretrained` in it depends less on which update came last than
        with the newest weights. ``config.agent.averaging_rate`` says over how many it goes.

        Example:
            >>> with agent.averaged_weights():  # doctest: +SKIP
            ...     agent.save_pretrained("my_model")
        """
        return self._average.in_use()

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        **kwargs: Any,
    ) -> "CoReSAC":
        """Loads what :meth:`save_pretrained` wrote, from a folder or from the Hub.

        Args:
            model: A folder, or a Hub repository ``"user/repo"``.
            env: An environment to go on learning in; not needed for ``predict``, whose actions are
                flat without one.
            device: Where the networks go.
            revision: Branch, tag, pull request or commit of the repository; the newest commit of
                ``main`` by default.
            token: Of the Hub; the one of ``hf auth login`` or of ``HF_TOKEN`` by default.
            cache_dir: Instead of the Hub client's usual cache.
            local_files_only: Take what the cache has and ask nobody.
            force_download: Fetch again what the cache has.
            **kwargs: Further arguments of the constructor.

        Raises:
            FileNotFoundError: If the folder, the repository, the revision or a file is missing.
            OSError: If the Hub cannot be reached or refuses.
            ValueError: If a file is broken or does not fit, in one sentence that says where.
        """
        folder = hub.locate(
            model,
            agent_folder.FILES,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        config = storage.load_config(folder)
        # Before anything is allocated that the files do not hold.
        agent_folder.check(folder, config)
        algorithm = cls("CoRePolicy", env, config, device=device, **kwargs)
        algorithm.load_weights(folder)
        algorithm._acts_at_random = False
        return algorithm

    @classmethod
    def load(  # type: ignore[override]
        cls,
        path: str | Path,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> "CoReSAC":
        """Loads a folder that :meth:`save` wrote, and learning resumes where it was.

        Args:
            path: The folder; one of :meth:`save_pretrained` will do, without optimisers.
            env: An environment to go on learning in; not needed for ``predict``, whose actions are
                flat without one.
            device: Where the networks go.
            custom_objects: Not supported: SB3 replaces pickled objects by them, and nothing is
                pickled here.
            print_system_info: Whether to print the versions of what is installed.
            force_reset: Must be true: episodes that were under way are not saved.
            **kwargs: Further arguments of the constructor.

        Raises:
            FileNotFoundError: If a file is missing.
            TypeError: If ``path`` is not a path, such as an open file.
            ValueError: If a file is broken or does not fit, in one sentence that says where.
        """
        if custom_objects:
            raise ValueError(
                f"CoReSAC.load replaces no objects, but got custom_objects for "
                f"{', '.join(map(str, custom_objects))}: nothing is pickled, so leave them out, "
                "and pass a schedule as learning_rate_schedule."
            )
        if force_reset is False:
            raise ValueError(
                "CoReSAC.load starts new episodes, for those under way are not saved; leave out "
                "force_reset=False."
            )
        if print_system_info:
            get_system_info()
        folder = _saved_folder(path, ".zip")
        algorithm = cls.from_pretrained(folder, env, device, **kwargs)
        if (folder / learning_state.VALUES_FILE).exists():
            learning_state.restore(algorithm, folder)
        return algorithm

    def set_parameters(
        self,
        load_path_or_dict: Any,
        exact_match: bool = True,
        device: torch.device | str = "auto",
    ) -> None:
        """Takes the weights, and the optimisers if there are any, of a save or a dictionary.

        Args:
            load_path_or_dict: A folder that :meth:`save` or :meth:`save_pretrained` wrote, or what
                ``get_parameters`` returned.
            exact_match: Whether a dictionary must hold every network and optimiser.
            device: Not used: the networks stay where they are.

        Raises:
            FileNotFoundError: If a file is missing.
            TypeError: If it is neither a dictionary nor a path.
            ValueError: If something is missing, broken or does not fit.
        """
        if isinstance(load_path_or_dict, dict):
            super().set_parameters(load_path_or_dict, exact_match, device)
            self._average.reset()
            return
        folder = _saved_folder(load_path_or_dict, ".zip")
        storage.load_config(folder)
        agent_folder.check(folder, self.config)
        self.load_weights(folder)
        if (folder / learning_state.TENSORS_FILE).exists():
            learning_state.restore_tensors(self, folder)

    def save_replay_buffer(self, path: str | Path) -> None:  # type: ignore[override]
        """Saves the finished episodes to a folder, whole or not at all, without a pickle.

        Args:
            path: The folder; the ending ``.pkl``, which SB3's callbacks add, is left out.

        Raises:
            FileExistsError: If there is something else than an earlier save.
            OSError: If it cannot be written; what was there before stays.
        """
        place = without_ending(path, ".pkl")
        refuse_others(place, (MANIFEST_FILE,), foreign=storage.CONFIG_FILE)
        self.replay_buffer.save(place)

    def load_replay_buffer(  # type: ignore[override]
        self, path: str | Path, truncate_last_traj: bool = True
    ) -> None:
        """Adds the episodes that :meth:`save_replay_buffer` saved to an empty replay buffer.

        Args:
            path: The folder.
            truncate_last_traj: Not used: only finished episodes are saved.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is broken or holds other observations or actions.
        """
        self.replay_buffer.load(_saved_folder(path, ".pkl"))

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", *learning_state.OPTIMIZERS], []


def _saved_folder(path: str | Path, ending: str) -> Path:
    """The folder to load from; refuses the files that SB3's own algorithms write."""
    folder = without_ending(path, ending)
    if user_path(path).is_file() and not folder.is_dir():
        raise ValueError(
            f"{path} is a file, such as Stable-Baselines3 writes; CoReSAC loads folders that it "
            "saved itself, and unpickles nothing."
        )
    return folder


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Returns the type that the networks run in under autocast; ``None`` for float32.

    Args:
        precision: ``AgentConfig.precision``.
        device: Where they run.
    """
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16"))
        precision = "bfloat16" if fast else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None
