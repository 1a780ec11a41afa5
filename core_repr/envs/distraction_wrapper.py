"""Distractions for anyone's MuJoCo environment."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from core_repr.envs.arguments import (
    DISTRACTION_ARGUMENTS,
    DistractionArguments,
    describe_distractions,
)
from core_repr.envs.moving_distractions import MovingDistractions
from core_repr.envs.mujoco.background import Background
from core_repr.envs.mujoco.camera import Camera
from core_repr.envs.mujoco.color import Color
from core_repr.envs.mujoco.distraction import Distraction
from core_repr.envs.mujoco.lighting import Lighting
from core_repr.envs.mujoco.mounts import FreeMount, ModelMount
from core_repr.envs.mujoco.simulators import find_body, find_camera, find_simulator, looking_at
from core_repr.envs.mujoco.textures import Textures
from core_repr.envs.mujoco.view import View
from core_repr.envs.rendering import select_backend
from core_repr.envs.rendering.free_camera import FreeCamera

_COLLISION = {"robosuite": (0,)}
"""Groups of collision shapes, which are not to be seen, by package."""


@dataclass(frozen=True, kw_only=True)
class _Arguments(DistractionArguments):
    textures: bool
    surfaces: Mapping[str, float] | None
    camera_name: str | None
    look_at: str | Sequence[float] | None
    hidden_groups: Sequence[int] | None
    render_only: bool
    render_key: str
    obs_key: str

    _switches: ClassVar[Sequence[str]] = (
        *DistractionArguments._switches,
        "textures",
        "render_only",
    )

    @property
    def _has_more(self) -> bool:
        return self.textures

    def __post_init__(self) -> None:
        super().__post_init__()
        forms: tuple[tuple[str, Any, Callable[[Any], Any], str], ...] = (
            ("surfaces", Mapping, _opacities, "a dictionary of names and opacities from 0 to 1"),
            ("camera_name", str, str, "the name of a camera"),
            ("look_at", (str, Sequence, np.ndarray), _target, "a body's name or three numbers"),
            ("hidden_groups", (Sequence, np.ndarray), _groups, "a list of numbers from 0 to 5"),
            ("render_key", str, str, "a name"),
            ("obs_key", str, str, "a name"),
        )
        for name, kinds, convert, expected in forms:
            value = getattr(self, name)
            if value is None and name not in ("render_key", "obs_key"):
                continue
            try:
                if not isinstance(value, kinds):
                    raise ValueError
                self._keep(name, convert(value))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}={value!r} is not valid: expected {expected}.") from error


def _opacities(value: Mapping[str, float]) -> dict[str, float]:
    opacities = {str(name): float(opacity) for name, opacity in value.items()}
    if not all(0 <= opacity <= 1 for opacity in opacities.values()):
        raise ValueError
    return opacities


def _target(value: str | Sequence[float]) -> str | list[float]:
    if isinstance(value, str):
        return str(value)
    x, y, z = (float(coordinate) for coordinate in value)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError
    return [x, y, z]


def _groups(value: Sequence[int]) -> list[int]:
    groups = [int(group) for group in value]
    if not all(0 <= group <= 5 for group in groups):
        raise ValueError
    return groups


class DistractionWrapper(MovingDistractions):
    """Pixels of a MuJoCo environment, seen through distractions.

    ```python
    env = gym.make("HalfCheetah-v5")
    env = DistractionWrapper(env, "medium", dynamic=True)
    frame, info = env.reset(seed=0)
    ```

    It works for Gymnasium's own MuJoCo tasks, for Gymnasium-Robotics, robosuite, and other
    environments that keep their `mujoco.MjModel` and `mujoco.MjData` in the same places. Frames are
    drawn here, so the environment needs no `render_mode`; with "rgb_array", `render` gives a larger
    picture of what the last frame shows. The simulator stays as it is: rewards, states and the
    environment's own pictures are those without distractions.

    Distractions move on 30 times in a second of simulated time. Everything random follows from the
    seed of `reset`, of each distraction by itself: the same seed gives the same frames, and
    switching one off leaves the others as they are. With
    `reset(options={"distraction_seed": n})`, the same episode is seen through other distractions.

    Args:
        env: The environment.
        difficulty: "easy", "medium" or "hard"; None for no distraction.
        scale: σ, how far camera, colours and lights vary, from 0 to 1; None for what the level
            says. Clips play at every scale.
        dynamic: Whether distractions move within an episode or stay as they are drawn.
        split: "train" or "val": which clips the background shows.
        backgrounds: "procedural" for generated clips, "davis" for what `core-repr download davis`
            fetched, or a folder of videos, see `clip_folder.find`; None for no clip.
        num_videos: How many clips to use; None for what the level asks for.
        background: Whether clips play behind the scene.
        camera: Whether the camera moves.
        color: Whether colours vary.
        lighting: Whether lights vary.
        textures: Whether other patterns lie over textures, in each episode.
        surfaces: What would hide the background: name of a material or a geometry → its opacity,
            from 0 to 1; None makes every ground half transparent.
        camera_name: Which of the model's cameras looks; None for what the environment's own
            pictures are taken with.
        look_at: What the camera turns about: the name of a body or a point in metres; None for what
            it looks at by itself.
        hidden_groups: Groups of geometries that are not drawn; None for collision shapes where
            they are known.
        frame_size: Height and width of a frame in pixels, at most 4,096.
        rendering: "fast" draws what a small frame can show; "full" draws at least 240×240 pixels
            with shadows and reflections, and resizes them.
        clean_frames: Whether `info["clean_frame"]` holds the same moment without distractions. It
            costs as much as a frame.
        render_only: Whether the frame is all there is to observe; otherwise a dictionary holds it
            beside the environment's own observation.
        render_key: The frame's name in the dictionary.
        obs_key: The name of the environment's own observation there, if that is no dictionary.

    Attributes:
        frame_size: Height and width of a frame in pixels.
        distractions: What disturbs the view: some of "background", "camera", "color",
            "lighting", "textures".

    Raises:
        TypeError: A size or number is not an integer, or a place is not a path.
        ValueError: The environment has no MuJoCo simulator, the model lacks what a name says, or
            an argument has a value that is not among those above.
        FileNotFoundError: The folder of the clips is missing.
        RenderingError: There is no OpenGL to render with.
    """

    distraction_arguments: ClassVar[Sequence[str]] = [*DISTRACTION_ARGUMENTS, "textures"]
    split_arguments: ClassVar[Sequence[str]] = ["num_videos"]
    information_arguments: ClassVar[Sequence[str]] = ["clean_frames"]

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        difficulty: str | None,
        *,
        scale: float | None = None,
        dynamic: bool = False,
        split: str = "train",
        backgrounds: str | os.PathLike[str] | None = "procedural",
        num_videos: int | None = None,
        background: bool = True,
        camera: bool = True,
        color: bool = True,
        lighting: bool = False,
        textures: bool = False,
        surfaces: Mapping[str, float] | None = None,
        camera_name: str | None = None,
        look_at: str | Sequence[float] | None = None,
        hidden_groups: Sequence[int] | None = None,
        frame_size: int = 72,
        rendering: str = "fast",
        clean_frames: bool = False,
        render_only: bool = True,
        render_key: str = "pixels",
        obs_key: str = "state",
    ) -> None:
        self._arguments = arguments = _Arguments(
            difficulty=difficulty,
            scale=scale,
            dynamic=dynamic,
            split=split,
            backgrounds=backgrounds,
            num_videos=num_videos,
            background=background,
            camera=camera,
            color=color,
            lighting=lighting,
            textures=textures,
            frame_size=frame_size,
            rendering=rendering,
            clean_frames=clean_frames,
            surfaces=surfaces,
            camera_name=camera_name,
            look_at=look_at,
            hidden_groups=hidden_groups,
            render_only=render_only,
            render_key=render_key,
            obs_key=obs_key,
        )
        super().__init__(env, **asdict(arguments))
        self.frame_size = arguments.frame_size
        package = type(env.unwrapped).__module__.split(".")[0]
        groups = arguments.hidden_groups
        self._hidden_groups = _COLLISION.get(package, ()) if groups is None else tuple(groups)
        self._render_key, self._obs_key = render_key, obs_key
        self.observation_space = self._space()
        self._clips = arguments.clips()
        select_backend()
        self._view: View | None = None
        self._attach()

    @staticmethod
    def describe_distractions(arguments: Mapping[str, Any]) -> str:
        """Puts the distractions of such a wrapper into words.

        Args:
            arguments: Those of the wrapper.

        Returns:
            Such as `"easy, dynamic"`, or `"hard, dynamic, background only, 2 videos"`.
        """
        words = describe_distractions(arguments, off=("lighting",))
        return words + ", with textures" * bool(
            arguments.get("difficulty") and arguments.get("textures")
        )

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes a step of the environment and moves the distractions on.

        Raises:
            ValueError: The action is not finite.
            RuntimeError: The environment replaced its MuJoCo model during the episode.
            gymnasium.error.ResetNeeded: No episode was started.
        """
        parts = action.values() if isinstance(action, dict) else [action]
        if not all(np.isfinite(np.asarray(part, np.float64)).all() for part in parts):
            raise ValueError(f"the action {action!r} is not finite.")
        return super().step(action)

    def render(self) -> Any:
        """Returns a larger picture of what the last frame shows, for videos.

        Returns:
            Shape (480, 480, 3) with `render_mode="rgb_array"`; otherwise what the environment's
            own `render` gives, without distractions.

        Raises:
            gymnasium.error.ResetNeeded: There is nothing to see before the first reset.
        """
        if self.render_mode != "rgb_array":
            return self.env.render()
        if not self._has_state:
            raise gymnasium.error.ResetNeeded("There is nothing to render: call reset().")
        assert self._view is not None
        return self._view.picture()

    def close(self) -> None:
        """Frees the renderers and closes the environment."""
        self._has_state = False
        if self._view is not None:
            self._view.close()
        super().close()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes what was copied; the copied environment may have another model until a reset."""
        self.__dict__.update(state)
        self._has_state = False

    def _start(self) -> None:
        if self._simulator()[0] is not self._model:
            self._attach()
        self._started = float(self._data.time)

    def _seconds(self) -> float:
        if self._simulator()[0] is not self._model:
            self._has_state = False
            raise RuntimeError(
                f"{self.env.unwrapped} replaced its MuJoCo model during an episode: it may do so "
                "in reset() alone."
            )
        return float(self._data.time) - self._started

    def _simulator(self) -> tuple[Any, Any]:
        found = find_simulator(self.env)
        if found is None:
            raise ValueError(
                f"{self.env.unwrapped} has no MuJoCo simulator that is known: expected "
                "`env.unwrapped.model` and `.data`, a mujoco.MjModel and its mujoco.MjData."
            )
        return found

    def _attach(self) -> None:
        """Builds the distractions and the view for the simulator that there is now."""
        if self._view is not None:
            self._view.close()
        self._model, self._data = model, data = self._simulator()
        camera, target = (
            find_camera(self.env, model, self._arguments.camera_name),
            self._target(model),
        )
        if isinstance(camera, FreeCamera) and target is not None:
            camera = looking_at(camera, target)
        self.distractions = self._build(camera, target)
        self._view = View(
            model,
            data,
            self.distractions,
            camera=camera,
            aspect=1.0,
            frame_size=self.frame_size,
            rendering=self._arguments.rendering,
            hidden_groups=self._hidden_groups,
        )

    def _target(self, model: Any) -> NDArray[np.float64] | int | None:
        """Returns what the camera turns about: a point, the number of a body, or neither."""
        look_at = self._arguments.look_at
        if look_at is None:
            return None
        if isinstance(look_at, str):
            return find_body(model, look_at)
        return np.array(look_at, np.float64)

    def _build(
        self, camera: int | FreeCamera, target: NDArray[np.float64] | int | None
    ) -> dict[str, Distraction]:
        arguments, found = self._arguments, dict[str, Distraction]()
        if arguments.difficulty is None:
            return found
        scale, dynamic = arguments.sigma, arguments.dynamic
        if self._clips:
            found["background"] = Background(
                self._model, self._clips, surfaces=arguments.surfaces, dynamic=dynamic
            )
        if arguments.camera:
            mount = (
                FreeMount(camera)
                if isinstance(camera, FreeCamera)
                else ModelMount(self._model, self._data, camera_id=camera, look_at=target)
            )
            found["camera"] = Camera(mount, scale=scale, dynamic=dynamic, above=True)
        if arguments.color:
            found["color"] = Color(self._model, scale=scale, dynamic=dynamic, geometries=True)
        if arguments.lighting:
            found["lighting"] = Lighting(self._model, self._data, scale=scale, dynamic=dynamic)
        if arguments.textures:
            found["textures"] = Textures(self._model, share=scale)
        return found

    def _space(self) -> spaces.Space[Any]:
        pixels = spaces.Box(0, 255, (self.frame_size, self.frame_size, 3), np.uint8)
        if self._arguments.render_only:
            return pixels
        own = self.env.observation_space
        others = own.spaces if isinstance(own, spaces.Dict) else {self._obs_key: own}
        if self._render_key in others:
            raise ValueError(
                f"the environment's own observation has a {self._render_key!r} already: choose "
                "another render_key."
            )
        return spaces.Dict({self._render_key: pixels, **others})

    def _observe(self, observation: Any, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        assert self._view is not None
        if self._arguments.clean_frames:
            info = {**info, "clean_frame": self._view.clean_frame()}
        frame = self._view.frame()
        if self._arguments.render_only:
            return frame, info
        others = observation if isinstance(observation, dict) else {self._obs_key: observation}
        return {self._render_key: frame, **others}, info
