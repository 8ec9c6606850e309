# SPDX-License-Identifier: Apache-2.0
"""Files of tensors: safetensors, GGUF, and small binary companions.  Headers are read, tensors are only measured."""

from __future__ import annotations

import math
import struct
from typing import Any, BinaryIO

from runners.zone.scanners.findings import Found, Limits, Unreadable, exactly, rest_of
from runners.zone.scanners.texts import json_of

_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
_GGUF_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_GGUF_STRING, _GGUF_ARRAY = 8, 9
_GGUF_VERSIONS = frozenset({2, 3})
_MOST_TENSORS, _MOST_WORDS, _MOST_DIMENSIONS = 100_000, 10_000, 8
_MOST_ELEMENTS = 10_000_000
_ESCAPES = (b"__class__", b"__globals__", b"__subclasses__", b"__mro__", b"__builtins__", b"__import__")


def scan_safetensors(_: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at a safetensors file: the tensors of the header cover the rest of the file, each byte once."""
    length = int.from_bytes(exactly(stream, 8), "little")
    if not 2 <= length <= limits.header_bytes:  # noqa: PLR2004 - "{}"
        raise Unreadable(f"the header cannot have {length} bytes")
    header = json_of(exactly(stream, length), limits)
    size = rest_of(stream)
    if not isinstance(header, dict):
        raise Unreadable("the header is not a JSON object")
    words = header.pop("__metadata__", {})
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        raise Unreadable("the metadata is not of strings")
    spans = sorted(_span_of(name, tensor) for name, tensor in header.items())
    end = 0
    for start, stop, name in spans:
        if start != end:
            raise Unreadable(f"tensor {name[:100]!r} does not begin where the one before it ends")
        end = stop
    if end != size:
        raise Unreadable(f"the tensors have {end} bytes and the file holds {size}")
    found.details.update(tensors=len(spans), bytes=size, metadata=sorted(words)[:50])


def _span_of(name: str, tensor: Any) -> tuple[int, int, str]:
    try:
        bits, shape, (start, stop) = _BITS[tensor["dtype"]], tensor["shape"], tensor["data_offsets"]
        whole_numbers = all(type(number) is int and number >= 0 for number in (*shape, start, stop))
        if not whole_numbers or len(tensor) != 3 or math.prod(shape) * bits != (stop - start) * 8:  # noqa: PLR2004
            raise Unreadable(f"tensor {name[:100]!r} is not of its shape and type")
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"tensor {name[:100]!r} is not described as safetensors does") from error
    return start, stop, name


def scan_gguf(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at a GGUF file: metadata of known types, tensors that lie inside the file, no template that escapes."""
    reader = _Counted(stream, limits.header_bytes)
    if reader.take(4) != b"GGUF":
        raise Unreadable("it does not begin with GGUF")
    version, tensors, words = reader.number("<I"), reader.number("<Q"), reader.number("<Q")
    if version not in _GGUF_VERSIONS or tensors > _MOST_TENSORS or words > _MOST_WORDS:
        raise Unreadable(f"GGUF version {version} with {tensors} tensors and {words} words is not read")
    architecture = ""
    for _ in range(words):
        key = reader.text().decode("utf-8", "replace")
        value = _gguf_value(reader, reader.number("<I"), limits.depth)
        if key == "general.architecture" and isinstance(value, bytes):
            architecture = value.decode("utf-8", "replace")[:100]
        if "chat_template" in key and isinstance(value, bytes) and any(escape in value for escape in _ESCAPES):
            found.danger("template-escape", f"{path}!{key}", "a template that reaches for Python's inside")
    last = 0
    for _ in range(tensors):
        reader.text()
        dimensions = reader.number("<I")
        if dimensions > _MOST_DIMENSIONS:
            raise Unreadable("a tensor of too many dimensions")
        reader.take(8 * dimensions + 4)
        last = max(last, reader.number("<Q"))
    if tensors and last >= rest_of(stream):
        raise Unreadable("a tensor lies outside the file")
    found.details.update(version=version, tensors=tensors, architecture=architecture)


def _gguf_value(reader: _Counted, kind: int, depth: int) -> bytes | None:
    if kind == _GGUF_STRING:
        return reader.text()
    if kind == _GGUF_ARRAY:
        inner, count = reader.number("<I"), reader.number("<Q")
        if depth == 0 or count > _MOST_ELEMENTS:
            raise Unreadable("an array that is too long or too deep")
        if inner in _GGUF_SCALARS:
            reader.take(count * struct.calcsize(_GGUF_SCALARS[inner]))
            return None
        for _ in range(count):
            _gguf_value(reader, inner, depth - 1)
        return None
    if kind not in _GGUF_SCALARS:
        raise Unreadable(f"a value of unknown type {kind}")
    reader.take(struct.calcsize(_GGUF_SCALARS[kind]))
    return None


class _Counted:
    """Reads a header, and no more than a header may have."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def take(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise Unreadable("the header is longer than this scan reads")
        return exactly(self._stream, count)

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def text(self) -> bytes:
        return self.take(self.number("<Q"))
