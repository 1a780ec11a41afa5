"""CoReWorldModel: encoder, recurrent state-space model and heads behind four verbs.

Section 2 and Appendix A of the paper.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from core_repr.config import CoReConfig
from core_repr.world_model import card, hub, model_folder, storage
from core_repr.world_model.batch import Observed, SequenceBatch
from core_repr.world_model.dynamics import Dynamics, Noise
from core_repr.world_model.encoders import Encoder
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import mlp
from core_repr.world_model.objectives import Contrastive, Objective, Reward, Sizes, Term
from core_repr.world_model.parts import build

ObjectiveT = TypeVar("ObjectiveT", bound=Objective)


class WorldModelLosses(NamedTuple):
    """J_M and its terms for a mini-batch.

    Attributes:
        total: J_M.
        terms: Name of an objective → its term, unweighted.
    """

    total: Float[Tensor, ""]
    terms: Mapping[str, Term]

    def named(self) -> dict[str, Float[Tensor, ""]]:
        """Returns name → value of all that is logged: losses, their values at chance, J_M."""
        values = {}
        for name, term in self.terms.items():
            values[name] = term.loss.detach()
            if term.chance is not None:
                values[f"{name.removesuffix('_loss')}_chance"] = term.chance
        return {**values, "model_loss": self.total.detach()} if values else {}


class CoReWorldModel(nn.Module, PyTorchModelHubMixin):
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
        encoding_size = observation_size = sizes.encoder.output_size
        if environment.proprioception:
            layers = sizes.proprioception_layers
            self.proprioception_encoder = mlp(environment.proprioception_size, layers)
            observation_size += layers[-1]
        self.dynamics: Dynamics = build(
            sizes.dynamics, environment.action_size, observation_size, config.objectives.use_prior
        )
        self.latent_size = self.dynamics.deterministic_size + self.dynamics.stochastic_size
        of_heads = Sizes(self.latent_size, encoding_size, observation_size, environment.action_size)
        self.objectives = nn.ModuleDict(
            {
                slot.name: build(part, of_heads)
                for slot in dataclasses.fields(config.objectives)
                if (part := getattr(config.objectives, slot.name)) is not None
            }
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.encoder.linear.weight.device

    def parameter_groups(self) -> dict[str, dict[str, nn.Parameter]]:
        """Returns group → name → parameter, for optimisers with a rate for each group.

        The groups are ``"encoder"``, ``"model"`` and what the objectives name, such as
        ``"temperature"`` for ℓ.
        """
        groups: dict[str, dict[str, nn.Parameter]] = {"encoder": {}, "model": {}}
        own = {
            f"objectives.{slot}.{name}": group
            for slot, objective in self.objectives.items()
            for name, group in objective.groups.items()  # type: ignore[union-attr, operator]
        }
        for name, parameter in self.named_parameters():
            group = "encoder" if name.startswith("encoder.") else own.get(name, "model")
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
        cropped = self._crop(frames)
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

    def _crop(self, frames: Tensor) -> Tensor:
        crop = self.config.world_model.crop_size
        start = (frames.shape[-2] - crop) // 2
        return frames[..., start : start + crop, start : start + crop, :]

    def stack(
        self, frames: UInt8[Tensor, "t b side side 3"], is_first: Bool[Tensor, "t b"]
    ) -> UInt8[Tensor, "t b crop crop channels"]:
        """Joins each frame of sequences with those before it, for :meth:`encode`.

        Args:
            frames: Time-major frames.
            is_first: Frames at which an episode starts; each stands for those before it.
        """
        depth = self.encoder.frame_stack
        if depth == 1:
            return frames
        stacked, past = [], None
        for now, first in zip(self._crop(frames), is_first, strict=True):
            stacked.append(self._with_past(now, first, past))
            past = stacked[-1][..., 3:]
        return torch.stack(stacked)

    def _with_past(self, frames: Tensor, is_first: Tensor, past: Tensor | None) -> Tensor:
        repeated = frames.repeat(1, 1, 1, self.encoder.frame_stack - 1)
        if past is not None:
            repeated = torch.where(is_first[:, None, None, None], repeated, past)
        return torch.cat([repeated, frames], -1)

    def initial_state(self, batch_size: int) -> LatentState:
        """Returns a state to pass to :meth:`step` before the first frames."""
        state = self.dynamics.initial_state(batch_size)
        depth, side = self.encoder.frame_stack, self.config.world_model.crop_size
        if depth == 1:
            return state
        past = torch.zeros(batch_size, side, side, 3 * (depth - 1), dtype=torch.uint8)
        return state._replace(past_frames=past.to(self.device))

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
        past = None
        if self.encoder.frame_stack > 1:
            frames = self._with_past(self._crop(frames), is_first, state.past_frames)
            past = frames[..., 3:]
        projected = self.dynamics.project(self.encode(frames, proprioception))
        stepped = self.dynamics.step(state, previous_action, projected, is_first, noise)
        return stepped if past is None else stepped._replace(past_frames=past)

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

    def observe_batch(self, batch: SequenceBatch, noise: Noise | None = None) -> Observed:
        """:meth:`observe` for a mini-batch, with what :meth:`losses` scores."""
        x = self.encode(self.stack(batch.frames, batch.is_first), batch.proprioception)
        return Observed(batch, x, *self.observe_encodings(x, batch.actions, batch.is_first, noise))

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
        state, states = state._replace(past_frames=None), []
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
        return self._objective("frames", Contrastive).decode(state)

    def predict_reward(self, state: LatentState) -> Float[Tensor, "*batch"]:
        """Returns the predicted reward of the step that led to ``state``.

        Raises:
            ValueError: If the model has no reward head.
        """
        return self._objective("reward", Reward).predict(state)

    def _objective(self, slot: str, kind: type[ObjectiveT]) -> ObjectiveT:
        objective = getattr(self.objectives, slot, None)
        if not isinstance(objective, kind):
            raise ValueError(
                f"The model was trained without the objective {slot!r} that this needs; train one "
                "with it, such as the variant 'core'."
            )
        return objective

    def losses(self, observed: Observed) -> WorldModelLosses:
        """Returns J_M for a mini-batch.

        Args:
            observed: What :meth:`observe_batch` made of it.
        """
        total = torch.zeros((), device=self.device)
        terms = {}
        for objective in self.objectives.values():
            assert isinstance(objective, Objective)
            term = terms[objective.name] = objective(observed)
            total = total + objective.weight * term.loss
        return WorldModelLosses(total, terms)

    def after_step(self) -> None:
        """Is called after each step of an optimiser of the objectives' sum."""
        for objective in self.objectives.values():
            objective.after_step()  # type: ignore[operator]

    def diagnostics(self) -> dict[str, Float[Tensor, ""]]:
        """Returns name → value of what the objectives let a log show besides their losses."""
        return {
            name: value
            for objective in self.objectives.values()
            for name, value in objective.diagnostics().items()  # type: ignore[operator]
        }

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
        file = storage.MODEL_FILE
        model_folder.save(folder, self.config, {file: self}, {file: blank})

    def generate_model_card(self) -> ModelCard:
        """Returns the card that :meth:`save_pretrained` writes."""
        return card.make_card(self.config, card.Facts())

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool = False,
        commit_message: str = "A CoRe world model",
    ) -> str:
        """Uploads what :meth:`save_pretrained` writes, in one commit.

        Args:
            repo_id: ``"user/repo"``, made if it does not exist.
            private: Make a new repository private.
            token: Of the Hub; the one of ``hf auth login`` or of ``HF_TOKEN`` by default.
            branch: Instead of ``main``; made if it does not exist.
            create_pr: Open a pull request instead of committing to the branch.
            commit_message: Of the commit.

        Returns:
            The address of the commit, or of the pull request.

        Raises:
            OSError: If the Hub cannot be reached or refuses; nothing was published then.
            ValueError: If ``repo_id`` is not of that form.
        """
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

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        model: str | Path,
        device: torch.device | str = "cpu",
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
    ) -> "CoReWorldModel":
        """Loads what :meth:`save_pretrained` wrote, from a folder or from the Hub.

        Nothing is unpickled, no code is run, and config and weights are of the same commit.

        Args:
            model: A folder, or a Hub repository ``"user/repo"``.
            device: Where the model goes.
            revision: Branch, tag, pull request or commit of the repository; the newest commit of
                ``main`` by default.
            token: Of the Hub; the one of ``hf auth login`` or of ``HF_TOKEN`` by default.
            cache_dir: Instead of the Hub client's usual cache.
            local_files_only: Take what the cache has and ask nobody.
            force_download: Fetch again what the cache has.

        Returns:
            The model, in evaluation mode.

        Raises:
            FileNotFoundError: If the folder, the repository, the revision or a file is missing.
            OSError: If the Hub cannot be reached or refuses.
            ValueError: If a file is broken or does not fit, in one sentence that says where.
        """
        folder = hub.locate(
            model,
            (storage.CONFIG_FILE, storage.MODEL_FILE),
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        config = storage.load_config(folder)
        with torch.device("meta"):
            blank = cls(config)
        return storage.load_weights(folder / storage.MODEL_FILE, blank).to(device).eval()

    @classmethod
    def _from_pretrained(cls, **_: Any) -> "CoReWorldModel":
        """Closes the mixin's own way, which may unpickle, skip tensors and ignore fields."""
        raise NotImplementedError("CoReWorldModel.from_pretrained does all the loading itself.")
