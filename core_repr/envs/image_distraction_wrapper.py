"""Distractions in the picture alone, for environments without a MuJoCo simulator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from core_repr.envs.arguments import (
    DISTRACTION_ARGUMENTS,
    MAX_FRAME_SIZE,
    DistractionArguments,
    describe_distractions,
)
from core_repr.envs.checks import require_integer
from core_repr.envs.clips.player import ClipPlayer
from core_repr.envs.distraction_wrapper import MOVES_A_SECOND
from core_repr.envs.image.sheet import SheetMount
from core_repr.envs.image.tint import Tint
from core_repr.envs.mujoco.camera import Camera
from core_repr.envs.streams import Streams, pop_distraction_seed


class ImageDistractionWrapper(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
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
        self._arguments = arguments = DistractionArguments(
            difficulty=difficulty,
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
        RecordConstructorArgs.__init__(
            self,
            difficulty=arguments.difficulty,
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
        gymnasium.Wrapper.__init__(self, env)
        self._colors = None if colors is None else np.array(colors, np.int16)
        self._tolerance, self._mask_key = tolerance, mask_key
        self._mount = SheetMount()
        self.distractions = self._build(max(height, width) if known else None)
        self._streams = Streams()
        fps = env.metadata.get("render_fps")
        self._moves_a_step = MOVES_A_SECOND / fps if fps else 1.0
        self._has_state = False

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

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Fixes the environment's start, the distractions and all that follows; None
                continues with the random numbers that there are.
            options: Those of the environment. With `{"distraction_seed": n}`, the distractions
                follow from n alone.

        Returns:
            The first observation and the information.

        Raises:
            TypeError: The seed of the distractions is not an integer.
            ValueError: It is negative, or a clip cannot be decoded.
        """
        alone, options = pop_distraction_seed(options)
        self._has_state = False
        observation, info = self.env.reset(seed=seed, options=options)
        for name, rng in self._streams.draw(seed, alone).items():
            if name in self.distractions:
                self.distractions[name].reset(rng)
        self._steps = self._moves = 0
        self._has_state = True
        return self._observe(observation, info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes a step of the environment and moves the distractions on.

        Raises:
            gymnasium.error.ResetNeeded: No episode was started.
        """
        if not self._has_state:
            raise gymnasium.error.ResetNeeded("There is no step to make: call reset().")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        due = int(self._steps * self._moves_a_step + 1e-6)
        for _ in range(self._moves, due):
            for distraction in self.distractions.values():
                distraction.step()
        self._moves = due
        observation, info = self._observe(observation, info)
        return observation, reward, terminated, truncated, info

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
        scale, dynamic = arguments.scale, arguments.dynamic
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
