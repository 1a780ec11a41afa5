"""What an encoder sees of frames: their centre, and, of successive ones, several at once."""

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor


def center_crop(
    frames: UInt8[Tensor, "*batch height height channels"], side: int
) -> UInt8[Tensor, "*batch side side channels"]:
    """Returns the central square of ``side`` pixels."""
    start = (frames.shape[-2] - side) // 2
    return frames[..., start : start + side, start : start + side, :]


def join_past(
    frames: UInt8[Tensor, "b side side 3"],
    is_first: Bool[Tensor, " b"],
    past: UInt8[Tensor, "b side side past"] | None,
    depth: int,
) -> UInt8[Tensor, "b side side channels"]:
    """Joins frames with those before them along the channels, the newest last.

    Args:
        frames: The newest frames.
        is_first: Rows whose episode starts here: the frame stands for those before it.
        past: The ``depth`` − 1 frames before; ``None`` where all episodes start.
        depth: Frames that are joined.
    """
    before = frames.repeat(1, 1, 1, depth - 1)
    if past is not None:
        before = torch.where(is_first[:, None, None, None], before, past)
    return torch.cat([before, frames], -1)


def stack_frames(
    frames: UInt8[Tensor, "t b side side 3"], is_first: Bool[Tensor, "t b"], depth: int
) -> UInt8[Tensor, "t b side side channels"]:
    """Returns what :func:`join_past` does from frame to frame, for whole sequences."""
    stacked, past = [], None
    for now, first in zip(frames, is_first, strict=True):
        stacked.append(join_past(now, first, past, depth))
        past = stacked[-1][..., 3:]
    return torch.stack(stacked)
