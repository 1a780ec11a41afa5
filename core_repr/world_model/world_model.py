"""CoReWorldModel: encoder, recurrent state-space model and heads behind four verbs.

Section 2 and Appendix A of the paper.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.config import CoReConfig
from core_repr.world_model import card, hub, model_folder, storage
from core_repr.world_model.encoder import Encoder
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import mlp
from core_repr.world_model.losses import (
    balanced_kl,
    info_nce,
    inverse_dynamics_loss,
    masked_mean,
    reward_loss,
)
from core_repr.world_model.rssm import RSSM, Noise


class SequenceBatch(NamedTuple):
    """A time-major mini-batch of sequences; none crosses the end of an episode.

    Attributes:
        frames: ``(T, B, side, side, 3)`` uint8.
        actions: ``(T, B, A)`` in [−1, 1]; ``actions[t]`` follows ``frames[t]``.
        rewards: ``(T, B)``; ``rewards[t]`` follows ``actions[t]``.
        is_first: ``(T, B)``; the recurrent state starts afresh at this frame.
        terminated: ``(T, B)``; the episode terminated (was not just cut off) after
            ``actions[t]``.
        mask: ``(T, B)``; false for the padding after the end of a short episode.
        proprioception: ``(T, B, P)``, together with the frames; P is 0 if there is none.
    """

    frames: UInt8[Tensor, "t b side side 3"]
    actions: Float[Tensor, "t b a"]
    rewards: Float[Tensor, "t b"]
    is_first: Bool[Tensor, "t b"]
    terminated: Bool[Tensor, "t b"]
    mask: Bool[Tensor, "t b"]
    proprioception: Float[Tensor, "t b p"]

    def to(self, device: torch.device) -> "SequenceBatch":
        """Returns the batch on ``device``."""
        return SequenceBatch(*(field.to(device, non_blocking=True) for field in self))


class WorldModelLosses(NamedTuple):
    """J_M and its terms, unweighted, each averaged over the mini-batch.

    Attributes:
        total: J_M.
        contrastive: L_c in nats.
        contrastive_chance: log N, what L_c is for a model that knows nothing.
        kl: L_KL in nats, balanced and clipped.
        reward: L_r.
        inverse_dynamics: L_a.
    """

    total: Float[Tensor, ""]
    contrastive: Float[Tensor, ""]
    contrastive_chance: Float[Tensor, ""]
    kl: Float[Tensor, ""]
    reward: Float[Tensor, ""]
    inverse_dynamics: Float[Tensor, ""]


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
        sizes = config.world_model
        action_size = config.environment.action_size
        self.config = config
        self.latent_size = sizes.deterministic_size + sizes.stochastic_size
        self.encoder = Encoder(sizes.encoder, sizes.crop_size)
        self.proprioception_encoder: nn.Sequential | None = None
        input_size = sizes.encoder.output_size
        if config.environment.proprioception:
            proprioception_size = config.environment.proprioception_size
            self.proprioception_encoder = mlp(proprioception_size, sizes.proprioception_layers)
            input_size += sizes.proprioception_layers[-1]
        self.rssm = RSSM(sizes, action_size, input_size)
        contrasted = input_size if sizes.contrast_proprioception else sizes.encoder.output_size
        self.decoder = mlp(self.latent_size, sizes.decoder_layers, contrasted)
        self.reward_head = mlp(self.latent_size, sizes.reward_layers, 1)
        self.inverse_dynamics_head = nn.Sequential(
            mlp(2 * self.latent_size, sizes.inverse_dynamics_layers, action_size), nn.Tanh()
        )
        self.inverse_temperature_logit = nn.Parameter(torch.tensor(config.loss.inverse_temperature))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def inverse_temperature(self) -> Float[Tensor, ""]:
        """λ = softplus(ℓ)."""
        return F.softplus(self.inverse_temperature_logit)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.inverse_temperature_logit.device

    def encode(
        self,
        frames: UInt8[Tensor, "*batch side side 3"],
        proprioception: Float[Tensor, "*batch p"] | None = None,
    ) -> Float[Tensor, "*batch x"]:
        """Returns the encodings x of frames, joined by those of proprioception if there is any.

        Args:
            frames: Of ``config.world_model.frame_size``, whose centre is encoded, or of
                ``crop_size``.
            proprioception: The robot's own state, for a model that was trained with it, in the
                order of ``config.environment.proprioception``.

        Raises:
            ValueError: If the model was trained with proprioception and there is none.
        """
        crop = self.config.world_model.crop_size
        start = (frames.shape[-2] - crop) // 2
        cropped = frames[..., start : start + crop, start : start + crop, :]
        x: Tensor = self.encoder(cropped.reshape(-1, crop, crop, 3))
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

    def initial_state(self, batch_size: int) -> LatentState:
        """Returns a state to pass to :meth:`step` before the first frames."""
        return self.rssm.initial_state(batch_size)

    def noise(self, generator: torch.Generator, *batch: int) -> Noise:
        """Draws the noise of a step (``batch = (B,)``) or a sequence (``(T, B)``)."""
        shape = (3, *batch, self.config.world_model.stochastic_size)
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
            noise: Draws for the samples; without it, the mean goes on.
            proprioception: The robot's own state, for a model that was trained with it, in the
                order of ``config.environment.proprioception``.

        Returns:
            The state after ``frames``.
        """
        projected = self.rssm.project(self.encode(frames, proprioception))
        return self.rssm.step(state, previous_action, projected, is_first, noise)

    def observe(
        self,
        frames: UInt8[Tensor, "t b side side 3"],
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Noise | None = None,
        proprioception: Float[Tensor, "t b p"] | None = None,
    ) -> tuple[LatentState, LatentState]:
        """Runs over whole sequences from fresh states.

        Args:
            frames: Time-major frames.
            actions: ``actions[t]`` in [−1, 1] follows ``frames[t]``; the last one is not used.
            is_first: Frames at which an episode starts; ``is_first[0]`` is taken as true.
            noise: Draws for the samples; without it, the means go on.
            proprioception: Beside the frames, for a model that was trained with it.

        Returns:
            The prior ẑ and the posterior z at every frame, ``(T, B, ...)``.
        """
        x = self.encode(frames, proprioception)
        return self.observe_encodings(x, actions, is_first, noise)

    def observe_encodings(
        self,
        x: Float[Tensor, "t b x"],
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Noise | None = None,
    ) -> tuple[LatentState, LatentState]:
        """:meth:`observe` for what :meth:`encode` has encoded already."""
        is_first = is_first.clone()
        is_first[0] = True
        # The action before each frame; that of a first frame does not count.
        previous_actions = torch.cat([torch.zeros_like(actions[:1]), actions[:-1]])
        posterior = self.rssm.observe(self.rssm.project(x), previous_actions, is_first, noise)
        prior = self.rssm.prior(posterior.h, None if noise is None else noise.prior)
        return prior, posterior

    def imagine(
        self,
        state: LatentState,
        actions: Float[Tensor, "t b a"],
        noise: Noise | None = None,
    ) -> LatentState:
        """Goes on from ``state`` with the prior alone.

        Args:
            state: States after the last frames that were seen.
            actions: Actions in [−1, 1]; ``actions[0]`` follows ``state``.
            noise: Draws for the samples, ``(T, B, ...)``; without it, the means go on.

        Returns:
            The states after each action, ``(T, B, ...)``.
        """
        states = []
        for t, action in enumerate(actions):
            h = self.rssm.advance(state.h, state.sample, action)
            state = self.rssm.prior(h, None if noise is None else noise.prior[t])
            states.append(state)
        return LatentState(*(torch.stack(fields) for fields in zip(*states, strict=True)))

    def decode(self, state: LatentState) -> Float[Tensor, "*batch x"]:
        """Returns y = g(z), the predicted encodings, each of mean 0 and variance 1."""
        y = self.decoder(state.sample_features).float()
        return F.layer_norm(y, y.shape[-1:])

    def predict_reward(self, state: LatentState) -> Float[Tensor, "*batch"]:
        """Returns the predicted reward of the step that led to ``state``."""
        reward: Tensor = self.reward_head(state.sample_features)
        return reward.float().squeeze(-1)

    def losses(
        self,
        batch: SequenceBatch,
        x: Float[Tensor, "t b x"],
        prior: LatentState,
        posterior: LatentState,
    ) -> WorldModelLosses:
        """Returns J_M for a mini-batch.

        Args:
            batch: The mini-batch.
            x: What :meth:`encode` returns for it. L_c compares as much of it as g predicts.
            prior: The first and
            posterior: the second result of :meth:`observe` for it.
        """
        weights = self.config.loss
        # The prior of the first frame knows nothing and is not scored.
        mask = batch.mask[1:]
        later_prior, later_posterior = prior.at(slice(1, None)), posterior.at(slice(1, None))

        pairs = mask.flatten()
        y = self.decode(later_prior)
        contrastive = info_nce(
            x[1:, :, : y.shape[-1]].flatten(0, 1)[pairs],
            y.flatten(0, 1)[pairs],
            self.inverse_temperature,
        )
        kl = masked_mean(balanced_kl(later_posterior, later_prior, weights.free_nats), mask)
        reward = masked_mean(
            reward_loss(self.predict_reward(later_posterior), batch.rewards[:-1]), mask
        )
        features = posterior.sample_features
        action = self.inverse_dynamics_head(torch.cat([features[:-1], features[1:]], -1)).float()
        inverse_dynamics = masked_mean(inverse_dynamics_loss(action, batch.actions[:-1]), mask)
        total = (
            weights.contrastive_weight * contrastive
            + weights.kl_weight * kl
            + weights.reward_weight * reward
            + weights.inverse_dynamics_weight * inverse_dynamics
        )
        chance = pairs.sum().clamp(min=1).log()
        return WorldModelLosses(total, contrastive, chance, kl, reward, inverse_dynamics)

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
