"""What the Hub demands of the metadata of a model card."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any


def card_errors(data: Any) -> Iterator[str]:
    """What huggingface.co demands of a model card's metadata, for the fields that we use."""
    if not isinstance(data, dict):
        yield "The metadata must be an object"
        return
    if not all(isinstance(tag, str) for tag in data.get("tags", [])):
        yield '"tags" must be an array of strings'
    for name in ("library_name", "pipeline_tag", "license"):
        if name in data and not re.fullmatch(r"[a-z0-9._-]+", str(data[name])):
            yield f'"{name}" must be a lowercase identifier'
    index = data.get("model-index", [])
    if not isinstance(index, list):
        yield '"model-index" must be an array'
        return
    for model in index:
        if not isinstance(model.get("name"), str) or not model["name"]:
            yield '"model-index[0].name" is required'
        for result in model.get("results", []):
            for part, keys in (("task", ["type"]), ("dataset", ["type", "name"])):
                for key in keys:
                    if not isinstance(result.get(part, {}).get(key), str):
                        yield f'"model-index[0].results[0].{part}.{key}" is required'
            for metric in result.get("metrics", []) or [{}]:
                if not isinstance(metric.get("type"), str) or "value" not in metric:
                    yield '"metrics[0]" needs a type and a value'
                if isinstance(metric.get("value"), float) and metric["value"] != metric["value"]:
                    yield '"metrics[0].value" is no number'
