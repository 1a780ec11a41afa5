"""What a run's folder may hold, and who may write to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from stable_baselines3.common.logger import Logger

from core_repr.files.lock import locked
from core_repr.files.names import (
    CHECKPOINTS_FOLDER,
    DIAGNOSTICS_FILE,
    EVALUATIONS_FILE,
    MODEL_FOLDER,
    PROGRESS_FILE,
    REPLAY_FOLDER,
    SETTINGS_FILE,
)
from core_repr.files.places import holds
from core_repr.files.writing import made_folders, sweep, write_atomically

LOGS = (PROGRESS_FILE, EVALUATIONS_FILE)


def refuse_to_replace(folder: Path) -> None:
    """Refuses a folder for a new run in which something has a name of a run's file.

    Folders that are empty may be there, and links to such, on another disk for example.
    """
    folders = (MODEL_FOLDER, CHECKPOINTS_FOLDER, REPLAY_FOLDER)
    for name in (SETTINGS_FILE, *LOGS, DIAGNOSTICS_FILE, *folders):
        path = folder / name
        is_free = name in folders and path.is_dir() and not holds(path)
        if os.path.lexists(path) and not is_free:
            raise FileExistsError(
                f"{folder} holds {name!r}, which is of no run, and a training would replace it; "
                "choose another folder with --run, or move it away."
            )


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing to the same run; ends with the process, too."""
    with ExitStack() as at_end:
        try:
            at_end.enter_context(made_folders(folder))
            refusal = f"Another process is training in {folder}; wait for it or end it."
            at_end.enter_context(locked(folder, refusal))
        except BlockingIOError as error:
            raise ValueError(str(error)) from None
        except OSError as error:
            raise OSError(
                f"The run cannot be written to {folder} ({error}); choose another folder with "
                "--run."
            ) from error
        yield


def copy_logs(run: Path, checkpoint: Path) -> None:
    """Keeps a run's logs as they are now in a checkpoint."""
    for name in LOGS:
        if (run / name).exists():
            write_atomically(checkpoint / name, (run / name).read_bytes())


def restore_logs(run: Path, checkpoint: Path | None) -> None:
    """Takes back what a run logged and left unfinished after a checkpoint."""
    for name in LOGS:
        if checkpoint is not None and (checkpoint / name).exists():
            write_atomically(run / name, (checkpoint / name).read_bytes())
        else:
            (run / name).unlink(missing_ok=True)
    folders = [run / name for name in (MODEL_FOLDER, CHECKPOINTS_FOLDER)]
    for folder in (run, *filter(Path.is_dir, folders)):
        sweep(folder)


def close_logger(logger: Logger) -> None:
    """Closes a run's log, also on a full disk."""
    # Each line was flushed when it was written; on a full disk there may be half a line more.
    with suppress(OSError):
        logger.close()
