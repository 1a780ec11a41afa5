"""The header of a safetensors file, checked before a byte of its tensors is read.

The format: eight bytes with the header's length, a JSON object that gives each tensor's type, shape
and place, and the tensors one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import torch

from core_repr.files.strict_json import parse_json

MAX_HEADER_BYTES = 1_000_000
LENGTH_BYTES = 8
CHECKSUM = "sha256"
"""In the metadata: of the tensors."""

METADATA = {CHECKSUM, "format"}
"""Others are refused: one flipped bit must not hide the checksum."""

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


class Entry(NamedTuple):
    """What a header says of one tensor.

    Attributes:
        dtype: Its type.
        shape: Its shape.
        begin: Where it begins, in bytes after the header.
        end: Where it ends.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """The whole header.

    Attributes:
        size: Bytes of the file before its tensors.
        entries: Tensor name → what the header says of it.
        metadata: Further words about the file.
    """

    size: int
    entries: dict[str, Entry]
    metadata: dict[str, str]


def read_header(file: BinaryIO, size: int) -> Header:
    """Reads the header of an open file, whose tensors must fill the rest of it exactly.

    Args:
        file: Open at its beginning.
        size: Of the whole file in bytes.

    Returns:
        The header.

    Raises:
        ValueError: If it is no header of such a file; the message is a clause without a subject.
    """
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if size < LENGTH_BYTES or length > size - LENGTH_BYTES:
        raise ValueError(f"ends after {size:,} bytes, in the middle of its header")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"has a header of {length:,} bytes, more than {MAX_HEADER_BYTES:,}")
    try:
        fields = parse_json(file.read(length))
    except ValueError as error:
        raise ValueError(f"has a header that is no valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError("has a header that is no JSON object")
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or any(not isinstance(v, str) for v in metadata.values()):
        raise ValueError("has metadata that are no strings")
    if unknown := metadata.keys() - METADATA:
        raise ValueError(f"has unknown metadata, {_quote(min(unknown))}")
    entries = {name: _entry(name, value) for name, value in fields.items()}
    _check_places(entries, size - LENGTH_BYTES - length)
    return Header(LENGTH_BYTES + length, entries, metadata)


def check_header(entries: Mapping[str, Entry], expected: Mapping[str, torch.Tensor]) -> None:
    """Refuses tensors that differ from the expected ones in name, shape or type.

    Args:
        entries: Those of :func:`read_header`.
        expected: Tensors to compare with; those of the device ``meta`` do.

    Raises:
        ValueError: At the first difference; the message is a clause without a subject.
    """
    for names, what in (
        (expected.keys() - entries.keys(), "lacks"),
        (entries.keys() - expected.keys(), "has an unknown"),
    ):
        if names:
            raise ValueError(f"{what} tensor {_quote(min(names))}")
    for name, tensor in expected.items():
        entry = entries[name]
        if entry.shape != tuple(tensor.shape):
            raise ValueError(
                f"has tensor {name!r} with shape {entry.shape} instead of {tuple(tensor.shape)}"
            )
        if entry.dtype != tensor.dtype:
            raise ValueError(f"has tensor {name!r} as {entry.dtype} instead of {tensor.dtype}")


def _entry(name: str, value: Any) -> Entry:
    shown = _quote(name)
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"has a header that describes tensor {shown} with other fields")
    dtype = DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        raise ValueError(f"has tensor {shown} of an unknown type, {str(value['dtype'])[:20]!r}")
    shape, offsets = value["shape"], value["data_offsets"]
    if not _counts(shape) or not _counts(offsets) or len(shape) > 8 or len(offsets) != 2:
        raise ValueError(f"has tensor {shown} with an impossible shape or place")
    size = dtype.itemsize
    for side in shape:
        size *= side
    if offsets[1] - offsets[0] != size:
        raise ValueError(f"has tensor {shown} whose shape and place are of different sizes")
    return Entry(dtype, tuple(shape), *offsets)


def _counts(value: Any) -> bool:
    """Whether a value is a list of whole numbers that a file's size can reach."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**48 for n in value)


def _check_places(entries: Mapping[str, Entry], size: int) -> None:
    """The tensors lie one after the other, without gap or overlap, up to the file's end."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            raise ValueError(
                f"has tensor {_quote(name)} at byte {entry.begin:,} instead of {position:,}"
            )
        position = entry.end
    if position != size:
        raise ValueError(f"holds {size:,} bytes of tensors instead of {position:,}")


def _quote(name: str) -> str:
    shortened = name if len(name) <= 60 else f"{name[:60]}…"
    return '"' + shortened.encode("unicode_escape").decode() + '"'
