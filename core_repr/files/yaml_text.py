"""YAML that people write: plain values alone, and each name once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a name that stands twice, instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names: list[Any] = []
        for place, _ in node.value:
            if place.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(place, deep=True)
            if name in names:
                problem = f"{name!r} stands twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
            names.append(name)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return made


def parse_yaml(text: str | bytes) -> Any:
    """Reads YAML, of which nothing is run.

    Raises:
        ValueError: If it is none, or a name stands twice. The message goes on after the name of
            the file: "line 3, is not valid YAML: ...".
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1},"
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise ValueError(f"{where} is not valid YAML: {problem}") from None
