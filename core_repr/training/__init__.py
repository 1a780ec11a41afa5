"""Training runs: folders that hold everything about a training, and that it resumes from."""

from core_repr.training.interruption import Interrupted
from core_repr.training.origin import Origin
from core_repr.training.run import resume, train
from core_repr.training.settings import Schedule

__all__ = ["Interrupted", "Origin", "Schedule", "resume", "train"]
