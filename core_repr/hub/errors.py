"""What goes wrong between here and the Hub, in one sentence each."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
from huggingface_hub import constants, get_session, get_token, is_offline_mode
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from core_repr.files.secrets import redact

_log = logging.getLogger(__name__)

BAD_TOKEN = (
    "The token of the Hub is empty or holds a line end, a space or another character that no token "
    "has; pass the token alone, or run `hf auth login`."
)
SECONDS_TO_ANSWER = 60.0
RETRIES = 2

T = TypeVar("T")

_CLIENT_ERRORS = (
    ConnectionError,
    EntryNotFoundError,
    LocalTokenNotFoundError,
    RevisionResolutionError,
    RuntimeError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
)


_hooks = threading.Lock()


@contextmanager
def patient() -> Iterator[None]:
    """Gives requests of this thread a time limit; the client would wait for an answer for ever.

    A hook sets it on each request that has none. The client's own settings stay as they are, for
    other threads and their requests.
    """
    client, thread = get_session(), threading.get_ident()
    limits = httpx2.Timeout(_patience()).as_dict()

    def limit(request: httpx2.Request) -> None:
        own = request.extensions.get("timeout") or {}
        if threading.get_ident() == thread and not any(own.values()):
            request.extensions["timeout"] = limits

    # Lists are replaced, not changed: a request that is under way goes through the one it began.
    with _hooks:
        client.event_hooks = {**client.event_hooks, "request": [*_requests(client), limit]}
    try:
        yield
    finally:
        with _hooks:
            others = [hook for hook in _requests(client) if hook is not limit]
            client.event_hooks = {**client.event_hooks, "request": others}


def _requests(client: httpx2.Client) -> list[Callable[..., Any]]:
    return client.event_hooks.get("request", [])


def check_token(token: str | bool | None = None) -> None:
    """Refuses what cannot be a token of the Hub; the client would name it in a warning.

    Args:
        token: That was passed; without one, that which the client finds is looked at.

    Raises:
        PermissionError: If it is empty, or holds a line end, a space or what is not ASCII.
    """
    implicit = token is True or (token is None and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN)
    sent = get_token() if implicit else token
    if isinstance(sent, str) and re.fullmatch("[!-~]+", sent) is None:
        raise PermissionError(BAD_TOKEN)


def ask_again(ask: Callable[[], T]) -> T:
    """Asks once more, and again, where an answer got lost or the server failed.

    Args:
        ask: Does one request that changes nothing.

    Returns:
        What it returns.

    Raises:
        Exception: What the last attempt raised.
    """
    for attempt in range(RETRIES):
        try:
            with patient():
                return ask()
        except (httpx2.TransportError, HfHubHTTPError, RevisionResolutionError) as error:
            if not _may_pass(_cause(error)):
                raise
            _log.warning("The Hub failed (%s); asking again.", type(_cause(error)).__name__)
            time.sleep(2**attempt)
    with patient():
        return ask()


@contextmanager
def plain_errors(
    repository: str,
    revision: str | None,
    local_files_only: bool = False,
    uploads: bool = False,
    token: str | bool | None = None,
) -> Iterator[None]:
    """Turns the errors of the Hub's client into an :class:`OSError` or :class:`ValueError`.

    None of them holds a token, or a password of an address.

    Args:
        repository: ``"user/repo"``.
        revision: Of it.
        local_files_only: Whether the cache alone is looked at.
        uploads: Whether files are sent, not fetched.
        token: That was passed.
    """
    try:
        with _plain_errors(repository, revision, local_files_only, uploads):
            yield
    except (OSError, ValueError) as error:
        message = redact(str(error), token, os.environ.get("HF_TOKEN"))
        if message == str(error):
            raise
        raise type(error)(message) from None


@contextmanager
def _plain_errors(
    repository: str, revision: str | None, local_files_only: bool, uploads: bool
) -> Iterator[None]:
    try:
        yield
    except UnicodeError:
        raise PermissionError(BAD_TOKEN) from None
    except _CLIENT_ERRORS as error:
        raise _plain(_cause(error), repository, revision, local_files_only, uploads) from None
    except HFValidationError as error:
        raise ValueError(f"{repository!r} cannot be a Hub repository: {_flat(error)}.") from None
    except (KeyError, json.JSONDecodeError) as error:
        raise OSError(
            f"{constants.ENDPOINT} does not answer as the Hub does ({error!r}); check HF_ENDPOINT."
        ) from None
    except (OSError, ValueError) as error:
        if "\n" not in str(error):
            raise
        raise type(error)(f"{_flat(error)}.") from None


def _patience() -> float:
    return max(float(constants.HF_HUB_DOWNLOAD_TIMEOUT), SECONDS_TO_ANSWER)


def _cause(error: BaseException) -> BaseException:
    """What happened first: the client wraps its errors while it falls back from one to another."""
    wrappers = (RevisionResolutionError, EntryNotFoundError, RuntimeError)
    while isinstance(error, wrappers) and not isinstance(error, HfHubHTTPError) and error.__cause__:
        error = error.__cause__
    return error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (500, 502, 503, 504)
    return isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError)


def _plain(
    error: BaseException,
    repository: str,
    revision: str | None,
    local_files_only: bool,
    uploads: bool,
) -> OSError:
    hub = f"The Hub at {constants.ENDPOINT}"
    at = f" at revision {revision!r}" if revision is not None else ""
    if isinstance(error, HfHubHTTPError):
        return _refusal(error, repository, revision, hub)
    offline = is_offline_mode() or isinstance(error, OfflineModeIsEnabled)
    if offline and uploads:
        return ConnectionError(
            f"Nothing can be uploaded to {repository!r} while HF_HUB_OFFLINE is set; unset it."
        )
    if offline or local_files_only:
        return FileNotFoundError(
            f"The cache does not have {repository!r}{at}, and the Hub may not be asked; fetch it "
            "once without HF_HUB_OFFLINE and local_files_only."
        )
    if isinstance(error, httpx2.LocalProtocolError) and "header" in str(error):
        return PermissionError(BAD_TOKEN)
    if isinstance(error, LocalTokenNotFoundError):
        return PermissionError("No token of the Hub was found; run `hf auth login` or pass one.")
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return TimeoutError(
            f"{hub} did not answer in time about {repository!r}; check your connection and try "
            "again."
        )
    if isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError):
        return ConnectionError(
            f"The connection to {constants.ENDPOINT} was cut, again and again, while it was about "
            f"{repository!r}; try again."
        )
    if isinstance(error, httpx2.HTTPError | httpx2.InvalidURL | ConnectionError):
        return ConnectionError(
            f"{hub} cannot be reached ({_flat(error)}), and the cache does not have "
            f"{repository!r}{at}; check your connection and HF_ENDPOINT."
        )
    return OSError(f"{hub} failed about {repository!r}: {_flat(error)}.")


def _refusal(error: HfHubHTTPError, repository: str, revision: str | None, hub: str) -> OSError:
    """A sentence for each status that the Hub answers with."""
    status = error.response.status_code
    said = f" ({_flat(error.server_message)})" if error.server_message else ""
    if isinstance(error, GatedRepoError):
        return PermissionError(
            f"{repository!r} is open only to those whom its owner lets in; ask for access at "
            f"{constants.ENDPOINT}/{repository} and log in with `hf auth login`."
        )
    if isinstance(error, RepositoryNotFoundError):
        return FileNotFoundError(
            f"There is no folder {repository!r}, and the Hub at {constants.ENDPOINT} has no model "
            "of that name that you may see; check the name, or log in with `hf auth login` if it "
            "is private."
        )
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(
            f"{repository!r} has no revision {revision or 'main'!r}; name one of its branches, "
            "tags or commits."
        )
    if isinstance(error, EntryNotFoundError):
        return FileNotFoundError(f"The Hub lacks a file of {repository!r} that it lists{said}.")
    if status == 401:
        return PermissionError(
            f"{hub} does not accept your token (401){said}; run `hf auth login` again."
        )
    if status in (402, 403):
        return PermissionError(
            f"Your token may not do this with {repository!r} ({status}){said}; take one that has "
            "the right, under https://huggingface.co/settings/tokens."
        )
    if status == 409:
        return FileExistsError(
            f"{repository!r} was changed by someone else (409){said}; try again."
        )
    if status == 429:
        return OSError(f"{hub} asks you to wait (429 Too Many Requests){said}; try again later.")
    if status >= 500:
        return OSError(f"{hub} fails at present ({status}){said}; try again later.")
    return OSError(f"{hub} refused ({status}){said}.")


def _flat(error: object) -> str:
    """A message on one line, without its full stop."""
    message = " ".join(str(error).split()).rstrip(".")
    return message[:200] or type(error).__name__
