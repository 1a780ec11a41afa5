"""What puts a model around an environment."""

from core_repr.wrappers.core_wrapper import CoReWrapper

__all__ = ["CoReWrapper"]
