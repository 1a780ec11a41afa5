"""CoReTransform: pixels of a TorchRL environment become latent states."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from tensordict import TensorDictBase
from torch import Tensor
from torchrl.data import Bounded, Composite, Unbounded
from torchrl.envs.transforms import Transform

from core_repr.adapters import ActionScaler, ObservationReader
from core_repr.config import EnvironmentConfig
from core_repr.world_model import CoReWorldModel, LatentState
from core_repr.wrappers.latent_observer import load_model


class CoReTransform(Transform):
    """Gives the latent state of a frozen world model beside the pixels, or instead of them.

    The observation is that of :class:`~core_repr.CoReWrapper`, ``[h, mean]``. The recurrent state
    lies in the tensordict, under ``state_key``, so that environments in a batch, in other
    processes, and partial resets each have their own.

    Args:
        model: A zoo name, a model folder, a Hub repository, or a
            :class:`~core_repr.CoReWorldModel`; without proprioception.
        in_key: Where the frames are: ``(..., height, width, 3)`` uint8, or channels first, or
            floats in [0, 1].
        out_key: Where the latents go.
        state_key: Where the recurrent state goes.
        action_key: Where the action is, in the environment's own units.
        keep_pixels: Whether the frames stay.
        revision: Branch, tag or commit of a Hub repository.
        device: Where the model runs; the CPU by default.

    Raises:
        ValueError: If the model takes proprioception, or the frames do not fit it.
        OSError: If there is no such model, or the Hub cannot be reached.

    Example:
        >>> from torchrl.envs import GymEnv, TransformedEnv
        >>> from core_repr.wrappers.torchrl import CoReTransform
        >>> env = GymEnv("distracting_control/cartpole-swingup-v0", difficulty="easy")
        >>> env = TransformedEnv(env, CoReTransform("cartpole-swingup-easy-v0"))
        >>> env.reset()["latent"].shape
        torch.Size([264])
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | CoReWorldModel,
        in_key: str = "pixels",
        out_key: str = "latent",
        *,
        state_key: str = "latent_state",
        action_key: str = "action",
        keep_pixels: bool = False,
        revision: str | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__(in_keys=[in_key], out_keys=[out_key, state_key])
        # Not a submodule: no optimiser of the user's is to find it, and no `to` to move it.
        loaded = load_model(model, revision, device)
        object.__setattr__(self, "_model", loaded)
        if self._trained.proprioception:
            raise ValueError(
                "The model takes proprioception beside the frames, which CoReTransform does not "
                "read; put CoReWrapper around the Gymnasium environment instead."
            )
        self._in, self._out, self._state = in_key, out_key, state_key
        self._action, self._keep = action_key, keep_pixels
        self._reader: ObservationReader | None = None
        self._scaler: ActionScaler | None = None
        blank = loaded.initial_state(1)
        self._sizes = [field.shape[-1] for field in blank]

    @property
    def model(self) -> CoReWorldModel:
        """The model."""
        return self._model  # type: ignore[no-any-return]

    def set_container(self, container: Any) -> None:
        """Belongs to another environment from here on."""
        super().set_container(container)
        self._scaler = None

    def _reset(
        self, tensordict: TensorDictBase, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        return self._seen(None, tensordict_reset)

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        return self._seen(tensordict, next_tensordict)

    @torch.no_grad()
    def _seen(self, before: TensorDictBase | None, now: TensorDictBase) -> TensorDictBase:
        """Takes in a frame: the first one of an episode without what was before."""
        model = self.model
        frames = now.get(self._in)
        batch = now.batch_size
        count = batch.numel()
        read = self._reading(frames.shape[len(batch) :], frames.dtype)
        flat = frames.reshape(count, *frames.shape[len(batch) :]).cpu().numpy()
        seen = read(flat).frames
        if before is None:
            state = model.initial_state(count)
            action = torch.zeros(count, self._trained.action_size, device=model.device)
        else:
            state = self._unpacked(before.get(self._state).reshape(count, -1))
            taken = before.get(self._action).reshape(count, -1).cpu().numpy()
            action = torch.from_numpy(self._scaling().to_model(taken)).to(model.device)
        is_first = torch.full((count,), before is None, device=model.device)
        state, _ = model.step_with_encoding(
            state, action, torch.from_numpy(seen).to(model.device), is_first, None, None
        )
        device = frames.device
        now.set(self._out, state.features.to(device).reshape(*batch, -1))
        now.set(self._state, torch.cat([*state], -1).to(device).reshape(*batch, -1))
        if not self._keep:
            now.exclude(self._in, inplace=True)
        return now

    @property
    def _trained(self) -> EnvironmentConfig:
        trained = self.model.config.environment
        assert trained is not None
        return trained

    def _reading(self, shape: torch.Size, dtype: torch.dtype) -> ObservationReader:
        if self._reader is None:
            kind = torch.zeros(0, dtype=dtype).numpy().dtype
            high = 1 if kind.kind == "f" else 255
            space = spaces.Box(0, high, tuple(shape), kind.type)
            side = self.model.config.world_model.frame_size
            self._reader = ObservationReader(space, side, None, {})
        return self._reader

    def _scaling(self) -> ActionScaler:
        """What brings the environment's actions to the model's."""
        if self._scaler is None:
            self._check_actions(self.container.base_env.full_action_spec)
        assert self._scaler is not None
        return self._scaler

    def _check_actions(self, action_spec: Composite) -> None:
        if self._action not in action_spec.keys(True):
            raise ValueError(
                f"The environment has no action {self._action!r}; name it: action_key."
            )
        spec = action_spec[self._action]
        if not isinstance(spec, Bounded | Unbounded):
            raise TypeError(
                "The model needs a Box of continuous actions, but the environment has "
                f"{type(spec).__name__}."
            )
        size = spec.shape[len(action_spec.shape) :].numel()
        low, high = np.full(size, -np.inf), np.full(size, np.inf)
        if isinstance(spec, Bounded):
            # The environments of a batch have the same bounds.
            low, high = (
                bound.reshape(-1, size)[0].cpu().numpy()
                for bound in (spec.space.low, spec.space.high)
            )
        self._scaler = ActionScaler(spaces.Box(low, high, dtype=np.float32), self._trained)

    def transform_action_spec(self, action_spec: Composite) -> Composite:
        """Leaves the actions as they are.

        Raises:
            TypeError: If they are not continuous.
            ValueError: If there are none under ``action_key``, they have no bounds, or another size
                than the model's.
        """
        # What arrives here has gone back through all transforms, those in front of this one too.
        self._check_actions(self.container.base_env.full_action_spec)
        return action_spec

    def _unpacked(self, packed: Tensor) -> LatentState:
        return LatentState(*packed.to(self.model.device).split(self._sizes, -1))

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """Describes the latents and the state, and leaves out the pixels unless they are kept."""
        batch = observation_spec.shape
        device = observation_spec.device
        sizes = {self._out: self.model.latent_size, self._state: sum(self._sizes)}
        for key, size in sizes.items():
            observation_spec[key] = Unbounded((*batch, size), device=device)
        if not self._keep:
            del observation_spec[self._in]
        return observation_spec

    def forward(self, next_tensordict: Any) -> Any:
        """Refuses: latents follow from whole episodes, not from a batch of a replay buffer."""
        raise RuntimeError(
            "CoReTransform belongs to an environment (TransformedEnv), not to a replay buffer: "
            "latents follow from the steps before."
        )
