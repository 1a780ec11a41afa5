"""Random changes of the frames that the learner sees, so that distractions tell it nothing.

Half of the frames, chosen at random, are turned, zoomed and shifted, and half, chosen
independently, get a texture, an opacity map and a colour shift, each frame its own. What changes at
random from frame to frame cannot be predicted, so the contrastive loss has no use for it. Without
that, a moving camera or a background alone distinguishes the sequences of a mini-batch, and what
else does so, such as a target that stands still, is not learned.
"""

from collections.abc import Callable

import torch
from jaxtyping import UInt8
from torch import Tensor

from core_repr.agent.augmentation.camera import CameraJitter
from core_repr.agent.augmentation.position import RandomCrop, RandomShift
from core_repr.agent.augmentation.textures import TextureOverlay, make_textures
from core_repr.config import AugmentationConfig, WorldModelConfig

__all__ = [
    "CameraJitter",
    "Pipeline",
    "RandomCrop",
    "RandomShift",
    "TextureOverlay",
    "make_textures",
]


class Pipeline:
    """All that happens to a mini-batch's frames before the learner sees them.

    Args:
        config: What is done besides the random crop.
        sizes: Of frames and crops.
        device: Where the frames are.

    Attributes:
        steps: What is done, one after the other.
    """

    def __init__(
        self, config: AugmentationConfig, sizes: WorldModelConfig, device: torch.device
    ) -> None:
        self.steps: list[Callable[[Tensor, torch.Generator], Tensor]] = []
        side = int(sizes.crop_size)
        if side < sizes.frame_size:
            self.steps.append(RandomCrop(side))
        if config.shift:
            self.steps.append(RandomShift(config.shift))
        if config.camera_jitter:
            self.steps.append(CameraJitter(config.camera_jitter))
        if config.texture_opacity or config.color_jitter:
            opacity, color_jitter = config.texture_opacity, config.color_jitter
            self.steps.append(TextureOverlay(side, opacity, color_jitter, device))

    def __call__(
        self, frames: UInt8[Tensor, "t b side side 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "t b crop crop 3"]:
        """Returns what the learner sees; each call sees the frames in another way.

        Args:
            frames: Whole frames, as the replay buffer gives them; they stay as they are.
            generator: Draws all that is random.
        """
        for step in self.steps:
            frames = step(frames, generator)
        return frames
