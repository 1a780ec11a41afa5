"""The Distracting Control Suite as a Gymnasium environment of pixels."""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from core_repr.envs.distracting_control.background import Background
from core_repr.envs.distracting_control.camera import Camera
from core_repr.envs.distracting_control.clips import open_clips
from core_repr.envs.distracting_control.color import Color
from core_repr.envs.distracting_control.tasks import EPISODE_STEPS, LEVELS, SPLITS, TASKS
from core_repr.envs.frame_renderer import FrameRenderer
from core_repr.envs.rendering import select_backend

_CAMERA_ID = 0
_ASPECT = 4 / 3
"""The suite's view is 320×240; it is squeezed into the square frame."""

_PICTURE_HEIGHT, _PICTURE_WIDTH = 480, 640


class Distraction(Protocol):
    """A part of the picture that says nothing about the task."""

    def reset(self, rng: np.random.Generator) -> None:
        """Draws the start of an episode; `rng` belongs to the distraction until the next one."""

    def step(self) -> None:
        """Moves on by one simulator step."""

    def apply(self) -> None:
        """Writes the state into the simulator, for rendering."""


class DistractingControlEnv(gymnasium.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """A task of the DeepMind Control Suite, seen through distractions.

    ```python
    env = gym.make("distracting_control/cartpole-swingup-v0", difficulty="medium", dynamic=True)
    frame, info = env.reset(seed=0)
    ```

    The observation is a square frame of what the suite's camera sees. An episode ends, truncated
    and not terminated, after 1,000 simulator steps. `info["env_steps"]` counts them.

    Everything random follows from the seed: the same seed gives the same frames. The distractions
    are drawn independently of one another and move on at every simulator step, so switching one
    off, or another action repeat, leaves the others as they are.

    Args:
        task: One of `core_repr.envs.task_names()`.
        difficulty: "easy", "medium" or "hard"; None for no distraction.
        dynamic: Whether distractions move within an episode or stay as they are drawn.
        split: "train" or "val": which clips the background shows.
        backgrounds: "procedural" for generated clips, or a folder of videos, see
            `clips.open_clips`; None for no clip.
        num_videos: How many clips to use; None for what the level asks for.
        background: Whether the background is distracting.
        camera: Whether the camera is.
        color: Whether colours are.
        frame_size: Height and width of an observation in pixels.
        action_repeat: Simulator steps an action is held for; None for the paper's.
        render_mode: "rgb_array", or None if `render` is not used.

    Attributes:
        action_repeat: Simulator steps an action is held for.
        frame_size: Height and width of an observation in pixels.

    Raises:
        ValueError: An argument has a value that is not among those above, or a folder has too few
            clips.
        FileNotFoundError: The folder is missing.
        RenderingError: There is no OpenGL to render with.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        *,
        difficulty: str | None = None,
        dynamic: bool = False,
        split: str = "train",
        backgrounds: str | None = "procedural",
        num_videos: int | None = None,
        background: bool = True,
        camera: bool = True,
        color: bool = True,
        frame_size: int = 72,
        action_repeat: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        _require("task", task, TASKS)
        _require("difficulty", difficulty, [None, *LEVELS])
        _require("split", split, SPLITS)
        _require("render_mode", render_mode, [None, "rgb_array"])
        _require_positive("frame_size", frame_size)
        for name, value in (("action_repeat", action_repeat), ("num_videos", num_videos)):
            if value is not None:
                _require_positive(name, value)
        spec = TASKS[task]
        self.frame_size = frame_size
        self.action_repeat = spec.action_repeat if action_repeat is None else action_repeat
        self.render_mode = render_mode

        clips = []
        if difficulty is not None and background and backgrounds is not None:
            count = LEVELS[difficulty].num_videos[split] if num_videos is None else num_videos
            # A face of the sky is more than twice as wide as the view.
            clips = open_clips(backgrounds, split=split, count=count, size=2 * frame_size)

        select_backend()
        from dm_control import suite

        self._suite = suite.load(spec.domain, spec.task)
        self._task, self._physics = self._suite.task, self._suite.physics
        model, data = self._physics.model.ptr, self._physics.data.ptr
        simulator_step = self._suite.control_timestep()
        self._substeps = round(simulator_step / self._physics.timestep())

        self._background: Background | None = None
        distractions: dict[str, Distraction] = {}
        if difficulty is not None:
            scale = LEVELS[difficulty].scale
            if clips:
                self._background = Background(
                    model, clips, ground_alpha=spec.ground_alpha, dynamic=dynamic
                )
                distractions["background"] = self._background
            if camera:
                distractions["camera"] = Camera(
                    model,
                    data,
                    camera_id=_CAMERA_ID,
                    scale=scale,
                    dynamic=dynamic,
                    upper_quadrant=spec.upper_quadrant,
                )
            if color:
                distractions["color"] = Color(model, scale=scale, dynamic=dynamic)
        self.distractions = distractions
        self._renderers: dict[tuple[int, int], FrameRenderer] = {}

        self.metadata = {
            **type(self).metadata,
            "render_fps": 1 / (simulator_step * self.action_repeat),
        }
        self.observation_space = Box(0, 255, (frame_size, frame_size, 3), np.uint8)
        action = self._suite.action_spec()
        self.action_space = Box(
            np.broadcast_to(action.minimum, action.shape).astype(np.float32),
            np.broadcast_to(action.maximum, action.shape).astype(np.float32),
            dtype=np.float32,
        )
        self._env_steps = 0
        self._episode_runs = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Fixes the start, the distractions and all that follows; None goes on with the
                random numbers that there are.
            options: Not used.

        Returns:
            The first frame, shape (frame_size, frame_size, 3), and the information.
        """
        super().reset(seed=seed)
        task_seed, *seeds = self.np_random.integers(2**32, size=4).tolist()
        self._task.random.seed(task_seed)
        self._suite.reset()
        self._env_steps = 0
        self._episode_runs = True
        for name, distraction_seed in zip(("background", "camera", "color"), seeds, strict=True):
            if name in self.distractions:
                self.distractions[name].reset(np.random.default_rng(distraction_seed))
        return self._frame(self.frame_size, self.frame_size), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Holds an action for `action_repeat` simulator steps.

        Args:
            action: Shape of the action space.

        Returns:
            The next frame, the sum of the rewards, whether the task terminated, whether the
            episode's 1,000 simulator steps are over, and the information.

        Raises:
            ValueError: The action has another shape, or is not finite.
            gymnasium.error.ResetNeeded: The episode is over.
        """
        if not self._episode_runs:
            raise gymnasium.error.ResetNeeded("There is no episode to step in: call reset().")
        control = np.asarray(action, dtype=np.float64)
        if control.shape != self.action_space.shape or not np.isfinite(control).all():
            raise ValueError(
                f"the action is {action!r}, expected finite numbers of shape "
                f"{self.action_space.shape}"
            )
        reward = 0.0
        terminated = False
        for _ in range(min(self.action_repeat, EPISODE_STEPS - self._env_steps)):
            self._task.before_step(control, self._physics)
            self._physics.step(self._substeps)
            self._task.after_step(self._physics)
            reward += float(self._task.get_reward(self._physics))
            self._env_steps += 1
            for distraction in self.distractions.values():
                distraction.step()
            terminated = self._task.get_termination(self._physics) is not None
            if terminated:
                break
        truncated = self._env_steps >= EPISODE_STEPS and not terminated
        self._episode_runs = not (terminated or truncated)
        frame = self._frame(self.frame_size, self.frame_size)
        return frame, reward, terminated, truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """Returns a larger picture of what the last frame shows, for videos.

        Returns:
            Shape (480, 640, 3), or None without `render_mode="rgb_array"`.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render() needs render_mode='rgb_array': pass it to gymnasium.make."
            )
            return None
        return self._frame(_PICTURE_HEIGHT, _PICTURE_WIDTH)

    def close(self) -> None:
        """Frees the renderers; calling it again does nothing."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _info(self) -> dict[str, Any]:
        return {"env_steps": self._env_steps}

    def _frame(self, height: int, width: int) -> NDArray[np.uint8]:
        for distraction in self.distractions.values():
            distraction.apply()
        renderer = self._renderers.get((height, width))
        if renderer is None:
            renderer = self._renderers[height, width] = FrameRenderer(
                self._physics.model.ptr,
                height=height,
                width=width,
                aspect=_ASPECT,
                camera_id=_CAMERA_ID,
            )
        sky = None if self._background is None else self._background.frame
        return renderer.render(self._physics.data.ptr, sky)


def _require(name: str, value: object, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is unknown: expected one of {list(allowed)}.")


def _require_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}: expected an integer.")
    if value < 1:
        raise ValueError(f"{name}={value} is too small: expected at least 1.")
