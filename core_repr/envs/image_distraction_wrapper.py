"""Distractions in the picture alone, for environments without a MuJoCo simulator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from core_repr.envs.arguments import (
    DISTRACTION_ARGUMENTS,
    MAX_FRAME_SIZE,
    DistractionArguments,
    describe_distractions,
)
from core_repr.envs.checks import require_integer
from core_repr.envs.clips.player import ClipPlayer
from core_repr.envs.image.sheet import SheetMount
from core_repr.envs.image.tint import Tint
from core_repr.envs.moving_distractions import MOVES_A_SECOND, MovingDistractions
from core_repr.envs.mujoco.camera import Camera
from core_repr.envs.pace import agent_steps_per_second


class ImageDistractionWrapper(MovingDistractions):
    """Pixels of any environment, disturbed as pictures.

    ```python
    env = gym.make("CarRacing-v3")
    grass = [[102, 204, 102], [102, 230, 102]]
    env = ImageDistractionWrapper(env, "medium", dynamic=True, background_colors=grass)
    frame, info = env.reset(seed=0)
    ```

    It knows nothing of the scene: the camera moves before the picture as before a flat sheet,
    colours shift all alike, and clips replace what has a certain colour or lies within a mask. In
    a MuJoCo environment, `DistractionWrapper` disturbs the scene itself.

    Distractions move on 30 times in a second of the time that `metadata["render_fps"]` tells, or
    once a step. Everything random follows from the seed of `reset`, of each distraction by itself.
    With `reset(options={"distraction_seed": n})`, the same episode is seen through other
    distractions.

    Args:
        env: An environment with frames as observations, uint8 of shape (height, width, 3), or
            with a dictionary that holds them.
        difficulty: "easy", "medium" or "hard"; None for no distraction.
        scale: σ, how far camera and colours vary, from 0 to 1; None for what the level
            says. Clips play at every scale.
        dynamic: Whether distractions move within an episode or stay as they are drawn.
        split: "train" or "val": which clips the background shows.
        backgrounds: "procedural" for generated clips, "davis" for what `core-repr download davis`
            fetched, or a folder of videos, see `clip_folder.find`; None for no clip.
        num_videos: How many clips to use; None for what the level asks for.
        background: Whether clips play in the background, where it is known.
        camera: Whether the camera moves.
        color: Whether colours shift.
        background_colors: What is background: colours as RGB values from 0 to 255.
        tolerance: How far each RGB value of the background may be from them.
        mask_key: Where the environment itself tells what is background: a name in `info` of an
            array of booleans, shape (height, width).
        pixels_key: The frame's name, where observations are a dictionary.
        clean_frames: Whether `info["clean_frame"]` holds the frame without distractions.

    Attributes:
        distractions: What disturbs the picture: some of "background", "camera", "color".

    Raises:
        TypeError: A number is not an integer, or a place is not a path.
        ValueError: The environment has no such frames, or an argument has a value that is not among
            those above.
        FileNotFoundError: The folder of the clips is missing.
    """

    distraction_arguments: ClassVar[Sequence[str]] = DISTRACTION_ARGUMENTS
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
        background_colors: Sequence[Sequence[int]] | None = None,
        tolerance: int = 16,
        mask_key: str | None = None,
        pixels_key: str = "pixels",
        clean_frames: bool = False,
    ) -> None:
        for name, key in (("mask_key", mask_key), ("pixels_key", pixels_key)):
            if not (isinstance(key, str) or (key is None and name == "mask_key")):
                raise ValueError(f"{name}={key!r} is not valid: expected a name.")
        colors = None if background_colors is None else _colors(background_colors)
        tolerance = require_integer("tolerance", tolerance, lowest=0, highest=255)
        if colors is not None and mask_key is not None:
            raise ValueError(
                "background_colors and mask_key both say what is background: leave one of them out."
            )
        self._pixels_key = pixels_key
        height, width = self._frame_shape(env.observation_space)
        known = colors is not None or mask_key is not None
        if difficulty is not None and not (known or camera or color):
            raise ValueError(
                f"difficulty={difficulty!r} has nothing to distract with: camera and color are "
                "off, and neither background_colors nor mask_key says what is background."
            )
        self._arguments = arguments = DistractionArguments(
            difficulty=difficulty,
            scale=scale,
            dynamic=dynamic,
            split=split,
            backgrounds=backgrounds,
            num_videos=num_videos,
            background=background,
            camera=camera,
            color=color,
            lighting=False,
            frame_size=max(height, width),
            rendering="fast",
            clean_frames=clean_frames,
        )
        super().__init__(
            env,
            difficulty=arguments.difficulty,
            scale=arguments.scale,
            dynamic=arguments.dynamic,
            split=arguments.split,
            backgrounds=arguments.backgrounds,
            num_videos=arguments.num_videos,
            background=arguments.background,
            camera=arguments.camera,
            color=arguments.color,
            background_colors=colors,
            tolerance=tolerance,
            mask_key=mask_key,
            pixels_key=str(pixels_key),
            clean_frames=arguments.clean_frames,
        )
        self._colors = None if colors is None else np.array(colors, np.int16)
        self._tolerance, self._mask_key = tolerance, mask_key
        self._mount = SheetMount()
        self.distractions = self._build(max(height, width) if known else None)
        self._step_seconds = 1 / agent_steps_per_second(env, MOVES_A_SECOND)

    @staticmethod
    def describe_distractions(arguments: Mapping[str, Any]) -> str:
        """Puts the distractions of such a wrapper into words.

        Args:
            arguments: Those of the wrapper.

        Returns:
            Such as `"easy, dynamic, in the picture"`.
        """
        if not arguments.get("difficulty"):
            return "no distractions"
        known = arguments.get("background_colors") or arguments.get("mask_key")
        arguments = {**arguments, **({} if known else {"background": False})}
        return f"{describe_distractions(arguments, off=('lighting',))}, in the picture"

    def render(self) -> Any:
        """Returns the environment's own picture; an array of RGB, as the last frame is disturbed.

        Raises:
            gymnasium.error.ResetNeeded: There is nothing to see before the first reset.
        """
        picture = self.env.render()
        if not (isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3):
            return picture
        if not self._has_state:
            raise gymnasium.error.ResetNeeded("There is nothing to render: call reset().")
        return self._disturbed(picture, _resized(self._mask, *picture.shape[:2]))

    def _start(self) -> None:
        self._steps = 0

    def _seconds(self) -> float:
        self._steps += 1
        return self._steps * self._step_seconds

    def _frame_shape(self, space: spaces.Space[Any]) -> tuple[int, int]:
        """Returns height and width of the frames, or says what is wrong with them."""
        frames = space
        if isinstance(space, spaces.Dict):
            if self._pixels_key not in space.spaces:
                raise ValueError(
                    f"the observations have no {self._pixels_key!r}: choose pixels_key among "
                    f"{', '.join(space.spaces)}."
                )
            frames = space.spaces[self._pixels_key]
        if not (
            isinstance(frames, spaces.Box)
            and frames.dtype == np.uint8
            and len(frames.shape) == 3
            and frames.shape[2] == 3
            and max(frames.shape) <= MAX_FRAME_SIZE
        ):
            raise ValueError(
                f"the observations are {frames}: expected frames, uint8 of shape (height, width, "
                "3), of at most 4,096 pixels; gymnasium.wrappers.AddRenderObservation gives an "
                "environment its pixels, and stacks of frames belong around this wrapper."
            )
        return frames.shape[0], frames.shape[1]

    def _build(self, clip_size: int | None) -> dict[str, Any]:
        """Makes the distractions; without a clip's size, the background is not known."""
        arguments, found = self._arguments, dict[str, Any]()
        if arguments.difficulty is None:
            return found
        scale, dynamic = arguments.sigma, arguments.dynamic
        clips = [] if clip_size is None else arguments.clips(clip_size)
        if clips:
            found["background"] = ClipPlayer(clips, dynamic=dynamic)
        if arguments.camera:
            found["camera"] = Camera(self._mount, scale=scale, dynamic=dynamic, above=False)
        if arguments.color:
            found["color"] = Tint(scale=scale, dynamic=dynamic)
        return found

    def _observe(self, observation: Any, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        in_dictionary = isinstance(observation, dict)
        frame = np.asarray(observation[self._pixels_key] if in_dictionary else observation)
        self._mask = self._background_of(frame, info)
        if self._arguments.clean_frames:
            info = {**info, "clean_frame": frame.copy()}
        disturbed = self._disturbed(frame, self._mask)
        if in_dictionary:
            return {**observation, self._pixels_key: disturbed}, info
        return disturbed, info

    def _background_of(
        self, frame: NDArray[np.uint8], info: Mapping[str, Any]
    ) -> NDArray[np.bool_] | None:
        """Returns where a frame shows the background, shape (height, width), if it is known."""
        if "background" not in self.distractions:
            return None
        if self._colors is not None:
            return self._has_key_color(frame)
        assert self._mask_key is not None
        if self._mask_key not in info:
            raise ValueError(
                f"info has no {self._mask_key!r}, which mask_key names: it has "
                f"{', '.join(map(str, info)) or 'nothing'}."
            )
        mask = np.asarray(info[self._mask_key])
        if mask.shape != frame.shape[:2]:
            raise ValueError(
                f"info[{self._mask_key!r}] has shape {mask.shape}: expected that of the frame, "
                f"{frame.shape[:2]}."
            )
        return mask.astype(np.bool_)

    def _has_key_color(self, picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
        assert self._colors is not None
        found = np.zeros(picture.shape[:2], np.bool_)
        for color in self._colors:
            found |= (abs(picture.astype(np.int16) - color) <= self._tolerance).all(axis=2)
        return found

    def _disturbed(
        self, picture: NDArray[np.uint8], mask: NDArray[np.bool_] | None
    ) -> NDArray[np.uint8]:
        """Returns a picture through the distractions, in their present state.

        Args:
            picture: Shape (height, width, 3).
            mask: Where it shows the background, if that is replaced.
        """
        if not self.distractions:
            return picture
        scene = picture.astype(np.float32)
        if "color" in self.distractions:
            scene = self.distractions["color"].show(scene)
        shown = np.ones((*scene.shape[:2], 1), np.float32)
        if mask is not None:
            shown -= mask[..., None]
        if "camera" in self.distractions:
            self.distractions["camera"].apply()
            # What is background must not bleed into the edges of what is not.
            warped, inside = self._mount.warp(np.concatenate([scene * shown, shown], axis=2))
            scene, shown = warped[..., :3], warped[..., 3:]
            if mask is not None:
                scene, shown = scene * inside[..., None], shown * inside[..., None]
        else:
            scene = scene * shown
        if mask is not None:
            player = self.distractions["background"]
            player.show()
            scene = scene + (1 - shown) * _resized(player.frame, *scene.shape[:2])
        disturbed: NDArray[np.uint8] = np.rint(np.clip(scene, 0, 255)).astype(np.uint8)
        return disturbed


def _colors(value: Sequence[Sequence[int]]) -> list[list[int]]:
    expected = "expected a list of colours, each three RGB values from 0 to 255"
    try:
        colors = [[int(channel) for channel in color] for color in value]
        fits = colors and all(len(c) == 3 and min(c) >= 0 and max(c) <= 255 for c in colors)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"background_colors={value!r} is not valid: {expected}.")
    return colors


def _resized(picture: Any, height: int, width: int) -> Any:
    """Returns a picture or a mask at another size, by the nearest pixel."""
    if picture is None or picture.shape[:2] == (height, width):
        return picture
    rows = (np.arange(height) * picture.shape[0]) // height
    columns = (np.arange(width) * picture.shape[1]) // width
    return picture[rows[:, None], columns]
