"""Training runs: folders that hold everything about a training, and that it resumes from."""

from core_repr.training.interruption import Interrupted
from core_repr.training.offline import (
    DatasetSchedule,
    is_from_dataset,
    resume_from_dataset,
    train_from_dataset,
)
from core_repr.training.origin import Origin
from core_repr.training.run import resume, train
from core_repr.training.settings import Schedule

__all__ = [
    "DatasetSchedule",
    "Interrupted",
    "Origin",
    "Schedule",
    "is_from_dataset",
    "resume",
    "resume_from_dataset",
    "train",
    "train_from_dataset",
]
