"""Kinds of fields that the parts of a config share, and how a field that does not fit is named."""

import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import tyro
from pydantic import ConfigDict, Field, PlainSerializer, ValidationError
from pydantic_core import ArgsKwargs

from core_repr.files.values import encode

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Part = TypeVar("Part")

Choice = TypeVar("Choice")
Kind = Annotated[Choice, tyro.conf.Suppress]
"""Says which part a part of a config is; on the command line, the variant does."""

Size = Annotated[int, Field(ge=1, le=16_384)]
Padding = Annotated[int, Field(ge=0, le=64)]
Layers = Annotated[tuple[Size, ...], Field(max_length=16)]
AtLeastOneLayer = Annotated[tuple[Size, ...], Field(min_length=1, max_length=16)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Arguments = Annotated[dict[str, Any], PlainSerializer(encode, when_used="json")]


_kinds: set[Any] = set()


def sentence(error: ValidationError, path: str = "", of: str = "config") -> str:
    """Says in one sentence which field does not fit, and why.

    Args:
        error: The first of its problems is named.
        path: Where in the whole the part is that does not fit.
        of: What the whole is.
    """
    first = error.errors(include_url=False)[0]
    # pydantic puts the kind of a part into the path.
    steps = [str(step) for step in first["loc"] if step not in _kinds]
    name = ".".join([path, *steps] if path else steps)
    message = first["msg"].removeprefix("Value error, ")
    where = f"The {of}'s field {name!r}" if name else f"The {of}"
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where} is not known to this release; remove it or install a newer core-repr."
    if first["type"] == "union_tag_not_found":
        return f"The {of} lacks the field '{name}.kind'."
    if first["type"] == "union_tag_invalid":
        where = f"The {of}'s field '{name}.kind'"
        message = f"it should be one of {first['ctx']['expected_tags']}"
        return f"{where} does not fit: {message}, not {first['ctx']['tag']!r}."
    if first["type"] in ("missing", "missing_argument"):
        return f"The {of} lacks the field {name!r}."
    whole = isinstance(first["input"], dict | ArgsKwargs)
    value = "" if whole else f", not {first['input']!r}"
    return f"{where} does not fit: {message[0].lower()}{message[1:]}{value}."


def refuses_in_a_sentence(path: str, of: str = "config") -> Callable[[type[Part]], type[Part]]:
    """Returns a decorator of a dataclass, whose errors read as if the whole were read from JSON.

    Args:
        path: Where in the whole the class is.
        of: What the whole is.
    """

    def decorate(part: type[Part]) -> type[Part]:
        _kinds.add(getattr(part, "kind", None))
        plain = part.__init__

        @functools.wraps(plain)
        def init(self: Any, *values: Any, **fields: Any) -> None:
            try:
                plain(self, *values, **fields)
            except ValidationError as error:
                raise ValueError(sentence(error, path, of)) from None

        part.__init__ = init  # type: ignore[method-assign]
        return part

    return decorate
