from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_repr.files.values import decode, encode, plain_arguments

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["C"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_accepted_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    try:
        plain = plain_arguments({"name": value})
    except ValueError as error:
        # Hypothesis finds lists within lists within lists.
        assert "deeper" in str(error)
        return
    # The form tells -0.0 from 0.0, True from 1 and tuples from lists.
    assert repr(plain) == repr({"name": value})
    text = json.dumps(encode(value), allow_nan=False)
    assert repr(decode(json.loads(text))) == repr(value)


@pytest.mark.parametrize(
    "value",
    [(0.7, math.inf), -math.inf, [[-math.inf]], {"a": (1, (2.0,))}, -0.0, 2**70, 5e-324, "tab\t\n"],
)
def test_what_json_lacks_comes_back_equal(value: Any) -> None:
    assert repr(plain_arguments({"name": value})["name"]) == repr(value)


def test_a_copy_is_returned() -> None:
    given_list = [1]
    plain = plain_arguments({"name": given_list})
    given_list.append(2)
    assert plain == {"name": [1]}
    assert type(plain_arguments({"name": np.float64(0.5)})["name"]) is float


class Colour(enum.IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "NaN"),
        ([{"a": math.nan}], "NaN"),
        (np.float64("nan"), "NaN"),
        ("a\x1bb", "control character"),
        ({"a\x1b": 1}, "control character"),
        ({1: 2}, "has the key 1"),
        ({None: 2}, "has the key None"),
        ({"$tuple": [1]}, r"has the key '\$tuple'"),
        (b"bytes", "of type bytes"),
        ({1}, "of type set"),
        (1j, "of type complex"),
        (Path("x"), "of type PosixPath"),
        (np.int64(2), "of type int64"),
        (np.float32(2), "of type float32"),
        (np.bool_(True), "of type bool"),
        (np.zeros(2), "of type ndarray"),
        (Colour.RED, "of type Colour"),
        (Point(1), "of type Point"),
        (OrderedDict(a=1), "of type OrderedDict"),
        pytest.param(10**5_000, "digits", id="a long number"),
        pytest.param("a\udcffb", "surrogate", id="half of a pair"),
        (lambda: None, "of type function"),
    ],
)
def test_what_would_not_come_back_equal_is_refused_by_name(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=rf"arguments cannot be saved: in 'name', .*{words}"):
        plain_arguments({"fine": 1, "name": value})


def test_deep_nesting_and_circles_are_refused() -> None:
    deep: Any = 1
    for _ in range(13):
        deep = (deep,)
    circle: list[Any] = []
    circle.append(circle)
    for value in (deep, circle):
        with pytest.raises(ValueError, match="nests deeper than 12 levels"):
            plain_arguments({"name": value})
    assert plain_arguments({"name": deep[0]})["name"] == deep[0]


@pytest.mark.parametrize(
    "value",
    [{"$tuple": 1}, {"$tuple": [], "more": 1}, {"$float": "nan"}, {"$float": 1}, {"$float": []}],
)
def test_what_encode_never_writes_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="neither a tuple nor an infinite number"):
        decode(value)
