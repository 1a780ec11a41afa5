"""What turns frames into encodings x."""

from core_repr.world_model.encoders.convolutional import Encoder, SharedEncoder

__all__ = ["Encoder", "SharedEncoder"]
