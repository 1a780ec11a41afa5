"""CoReWorldModel: encoder, recurrent state-space model and heads behind four verbs.

Section 2 and Appendix A of the paper.
"""

from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from core_repr.config import CoReConfig
from core_repr.files.names import CONFIG_FILE, MODEL_FILE
from core_repr.files.weights import load_weights
from core_repr.hub import model_folder
from core_repr.hub.devices import find_device
from core_repr.hub.pretrained import Pretrained
from core_repr.world_model.batch import NO_OTHER_VIEWS, Observed, OtherViews, SequenceBatch
from core_repr.world_model.dynamics import Dynamics, Noise
from core_repr.world_model.encoders import Encoder
from core_repr.world_model.encoders.frames import center_crop, join_past, stack_frames
from core_repr.world_model.latent import LatentState, StackedState
from core_repr.world_model.layers import mlp
from core_repr.world_model.objectives import (
    Continuation,
    Contrastive,
    Objectives,
    Reward,
    Sizes,
    WorldModelLosses,
)
from core_repr.world_model.parts import build


class CoReWorldModel(Pretrained, nn.Module, PyTorchModelHubMixin):  # type: ignore[misc]
    """A contrastive recurrent state-space model.

    Args:
        config: Sizes, and the environment that the model is for.

    Attributes:
        config: The same.
        latent_size: Size of ``LatentState.features``.

    Raises:
        ValueError: If ``config.environment`` is ``None``.

    Example:
        >>> model = CoReWorldModel.from_pretrained("runs/cartpole/model")  # doctest: +SKIP
        >>> state = model.initial_state(batch_size=1)  # doctest: +SKIP
    """

    files = (CONFIG_FILE, MODEL_FILE)

    def __init__(self, config: CoReConfig) -> None:
        super().__init__()
        if config.environment is None:
            raise ValueError(
                "A world model needs config.environment, which tells it the action size; "
                "set it with config.replace(environment=EnvironmentConfig(...))."
            )
        sizes, environment = config.world_model, config.environment
        self.config = config
        self.encoder: Encoder = build(sizes.encoder, sizes.crop_size)
        self.proprioception_encoder: nn.Sequential | None = None
        encoding_size, observation_size = sizes.encoder.output_size, sizes.encoder.width
        if environment.proprioception:
            layers = sizes.proprioception_layers
            self.proprioception_encoder = mlp(environment.proprioception_size, layers)
            observation_size += layers[-1]
        self.dynamics: Dynamics = build(
            sizes.dynamics, environment.action_size, observation_size, config.objectives.use_prior
        )
        self.latent_size = self.dynamics.deterministic_size + self.dynamics.stochastic_size
        of_heads = Sizes(
            self.latent_size,
            encoding_size,
            observation_size,
            environment.action_size,
            int(sizes.crop_size),
            self.encoder,
        )
        self.objectives = Objectives(config.objectives, lambda part: build(part, of_heads))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.encoder.linear.weight.device

    def parameter_groups(self) -> dict[str, dict[str, nn.Parameter]]:
        """Returns group → name → parameter that learns, for optimisers with a rate for each group.

        The groups are ``"encoder"``, ``"model"`` and what the objectives name, such as
        ``"temperature"`` for ℓ.
        """
        groups: dict[str, dict[str, nn.Parameter]] = {"encoder": {}, "model": {}}
        own = self.objectives.groups
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            of_objective = own.get(name.removeprefix("objectives."), "model")
            group = "encoder" if name.startswith("encoder.") else of_objective
            groups.setdefault(group, {})[name] = parameter
        return groups

    def encode(
        self,
        frames: UInt8[Tensor, "*batch side side channels"],
        proprioception: Float[Tensor, "*batch p"] | None = None,
    ) -> Float[Tensor, "*batch x"]:
        """Returns the encodings x of frames, joined by those of proprioception if there is any.

        Args:
            frames: Of ``config.world_model.frame_size``, whose centre is encoded, or of
                ``crop_size``. A model of stacked frames takes those joined along their channels,
                the newest last.
            proprioception: The robot's own state, for a model that was trained with it, in the
                order of ``config.environment.proprioception``.

        Raises:
            ValueError: If the model was trained with proprioception and there is none.
        """
        cropped = center_crop(frames, self.config.world_model.crop_size)
        x: Tensor = self.encoder(cropped.reshape(-1, *cropped.shape[-3:]))
        x = x.reshape(*frames.shape[:-3], -1)
        if self.proprioception_encoder is None:
            return x
        if proprioception is None:
            assert self.config.environment is not None
            names = ", ".join(map(repr, self.config.environment.proprioception))
            raise ValueError(
                f"The model was trained with proprioception ({names}), and the frames came "
                "without it; pass it together with them."
            )
        return torch.cat([x, self.proprioception_encoder(proprioception).to(x.dtype)], -1)

    def stack(
        self, frames: UInt8[Tensor, "t b side side 3"], is_first: Bool[Tensor, "t b"]
    ) -> UInt8[Tensor, "t b crop crop channels"]:
        """Joins each frame of sequences with those before it, for :meth:`encode`.

        Args:
            frames: Time-major frames.
            is_first: Frames at which an episode starts; each stands for those before it.
        """
        depth, side = self.encoder.frame_stack, self.config.world_model.crop_size
        return frames if depth == 1 else stack_frames(center_crop(frames, side), is_first, depth)

    def initial_state(self, batch_size: int) -> LatentState:
        """Returns a state to pass to :meth:`step` before the first frames."""
        state = self.dynamics.initial_state(batch_size, self.device)
        depth, side = self.encoder.frame_stack, self.config.world_model.crop_size
        if depth == 1:
            return state
        past = torch.zeros(batch_size, side, side, 3 * (depth - 1), dtype=torch.uint8)
        return StackedState(state, past.to(self.device))

    def noise(self, generator: torch.Generator, *batch: int) -> Noise:
        """Draws the noise of a step (``batch = (B,)``) or a sequence (``(T, B)``)."""
        shape = (3, *batch, self.dynamics.stochastic_size)
        drawn = torch.randn(shape, generator=generator, device=generator.device)
        return Noise(*drawn.to(self.device))

    def step(
        self,
        state: LatentState,
        previous_action: Float[Tensor, "b a"],
        frames: UInt8[Tensor, "b side side 3"],
        is_first: Bool[Tensor, " b"],
        noise: Noise | None = None,
        proprioception: Float[Tensor, "b p"] | None = None,
    ) -> LatentState:
        """Takes one posterior step for a batch of environments.

        Args:
            state: The state after the frame before.
            previous_action: Actions in [−1, 1] that led to ``frames``.
            frames: The new frames.
            is_first: Rows that start an episode: they start afresh, whatever ``state`` and
                ``previous_action`` hold there.
            noise: Draws for the samples; without it, the mean continues.
            proprioception: The robot's own state, for a model that was trained with it, in the
                order of ``config.environment.proprioception``.

        Returns:
            The state after ``frames``.
        """
        return self.step_with_encoding(
            state, previous_action, frames, is_first, noise, proprioception
        )[0]

    def step_with_encoding(
        self,
        state: LatentState,
        previous_action: Float[Tensor, "b a"],
        frames: UInt8[Tensor, "b side side 3"],
        is_first: Bool[Tensor, " b"],
        noise: Noise | None = None,
        proprioception: Float[Tensor, "b p"] | None = None,
    ) -> tuple[LatentState, Float[Tensor, "b x"]]:
        """:meth:`step`, and the encodings x of the frames."""
        if isinstance(state, StackedState):
            cropped = center_crop(frames, self.config.world_model.crop_size)
            frames = join_past(cropped, is_first, state.past_frames, self.encoder.frame_stack)
        x = self.encode(frames, proprioception)
        projected = self.dynamics.project(x)
        stepped = self.dynamics.step(state, previous_action, projected, is_first, noise)
        if isinstance(state, StackedState):
            return StackedState(stepped, frames[..., 3:]), x
        return stepped, x

    def observe(
        self,
        frames: UInt8[Tensor, "t b side side 3"],
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Noise | None = None,
        proprioception: Float[Tensor, "t b p"] | None = None,
    ) -> tuple[LatentState | None, LatentState]:
        """Runs over whole sequences from fresh states.

        Args:
            frames: Time-major frames.
            actions: ``actions[t]`` in [−1, 1] follows ``frames[t]``; the last one is not used.
            is_first: Frames at which an episode starts; ``is_first[0]`` is taken as true.
            noise: Draws for the samples; without it, the means continue.
            proprioception: Beside the frames, for a model that was trained with it.

        Returns:
            The prior ẑ, ``None`` for a model without one, and the posterior z at every frame,
            ``(T, B, ...)``.
        """
        is_first = is_first.clone()
        is_first[0] = True
        x = self.encode(self.stack(frames, is_first), proprioception)
        return self.observe_encodings(x, actions, is_first, noise)

    def observe_encodings(
        self,
        x: Float[Tensor, "t b x"],
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Noise | None = None,
    ) -> tuple[LatentState | None, LatentState]:
        """:meth:`observe` for what :meth:`encode` has encoded already."""
        is_first = is_first.clone()
        is_first[0] = True
        # The action before each frame; that of a first frame does not count.
        previous_actions = torch.cat([torch.zeros_like(actions[:1]), actions[:-1]])
        projected = self.dynamics.project(x)
        posterior = self.dynamics.observe(projected, previous_actions, is_first, noise)
        if self.dynamics.prior_mlp is None:
            return None, posterior
        draws = None if noise is None else noise.prior
        return self.dynamics.priors(posterior, previous_actions, is_first, draws), posterior

    def observe_batch(
        self, batch: SequenceBatch, noise: Noise | None = None, others: OtherViews = NO_OTHER_VIEWS
    ) -> Observed:
        """:meth:`observe` for a mini-batch, with what :meth:`losses` scores.

        Args:
            batch: The mini-batch.
            noise: Draws for the samples; without it, the means continue.
            others: Other views of its frames, for objectives that look at them.
        """
        x = self.encode(self.stack(batch.frames, batch.is_first), batch.proprioception)
        states = self.observe_encodings(x, batch.actions, batch.is_first, noise)
        if others.second is not None:
            others = others._replace(second=self.stack(others.second, batch.is_first))
        return Observed(batch, x, *states, others)

    def imagine(
        self,
        state: LatentState,
        actions: Float[Tensor, "t b a"],
        noise: Noise | None = None,
    ) -> LatentState:
        """Continues from ``state`` with the prior alone.

        Args:
            state: States after the last frames that were seen.
            actions: Actions in [−1, 1]; ``actions[0]`` follows ``state``.
            noise: Draws for the samples, ``(T, B, ...)``; without it, the means continue.

        Returns:
            The states after each action, ``(T, B, ...)``.

        Raises:
            ValueError: If the model has no prior.
        """
        self._check_prior()
        states = []
        for t, action in enumerate(actions):
            state = self.dynamics.predict(state, action, None if noise is None else noise.prior[t])
            states.append(state)
        return LatentState.stack(states)

    def prior_of(self, state: LatentState) -> LatentState:
        """Returns the prior ẑ, with its mean, at the frame that led to ``state``.

        Raises:
            ValueError: If the model has no prior, or has no recurrence that tells it.
        """
        self._check_prior()
        return self.dynamics.prior_of(state)

    def _check_prior(self) -> None:
        if self.dynamics.prior_mlp is None:
            raise ValueError(
                "The model has no prior: its objectives neither decode frames from the prior nor "
                "hold a KL term. Train one that does, such as the variant 'core'."
            )

    def decode(self, state: LatentState) -> Float[Tensor, "*batch x"]:
        """Returns y = g(z), the predicted encodings, each of mean 0 and variance 1.

        Raises:
            ValueError: If the model has no decoder g.
        """
        return self.objectives.objective("frames", Contrastive).decode(state)

    def predict_reward(self, state: LatentState) -> Float[Tensor, "*batch"]:
        """Returns the predicted reward of the step that led to ``state``.

        Raises:
            ValueError: If the model has no reward head.
        """
        return self.objectives.objective("reward", Reward).predict(state)

    def predict_continuation(self, state: LatentState) -> Float[Tensor, "*batch"]:
        """Returns the probability that an episode goes on after the step that led to ``state``.

        It is 1 for a model without the objective ``continuation``, and for one that has not seen
        an episode terminate.
        """
        if "continuation" not in self.objectives:
            return torch.ones(state.h.shape[:-1], device=state.h.device)
        return self.objectives.objective("continuation", Continuation).predict(state)

    def losses(self, observed: Observed) -> WorldModelLosses:
        """Returns J_M for a mini-batch.

        Args:
            observed: What :meth:`observe_batch` made of it.
        """
        losses: WorldModelLosses = self.objectives(observed)
        return losses

    def save_pretrained(self, folder: str | Path) -> None:  # type: ignore[override]
        """Writes ``config.json``, ``model.safetensors`` and a model card into a folder.

        Args:
            folder: Made if needed. A ``README.md`` that is there already stays, and so does
                whatever has another name than these files.

        Raises:
            ValueError: If they could not be loaded again.
            OSError: If they cannot be written; what was there before stays.
        """
        with torch.device("meta"):
            blank = type(self)(self.config)
        model_folder.save(folder, self.config, {MODEL_FILE: self}, {MODEL_FILE: blank})

    @classmethod
    def _from_folder(cls, folder: Path, device: torch.device | str = "cpu") -> "CoReWorldModel":
        place, config = find_device(device), model_folder.load_config(folder)
        with torch.device("meta"):
            blank = cls(config)
        return load_weights(folder / MODEL_FILE, blank).to(place).eval()
