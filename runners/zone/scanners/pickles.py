# SPDX-License-Identifier: Apache-2.0
"""Pickles and what wraps them: the opcodes are listed, the names they would import are judged, nothing is loaded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickletools
import re
import zlib
from typing import IO, Any, BinaryIO, cast

from runners.zone.scanners.allowed import is_allowed
from runners.zone.scanners.archives import contents_of
from runners.zone.scanners.findings import Found, Limits, Unreadable, whole

_ZIP = b"PK\x03\x04"
_NPY = b"\x93NUMPY"
_PICKLE = re.compile(rb"\x80[\x00-\x05]")
_STRINGS = frozenset(
    {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
# Opcodes whose meaning lies outside the file, so that a listing cannot tell what they would do.
_OUTSIDE = frozenset({"EXT1", "EXT2", "EXT4"})
_SEVERAL = 64


def scan_pickle(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """List a pickle, a joblib file, a zip of pickles (PyTorch) or a NumPy file."""
    _look(path, _expanded(whole(stream, limits.file_bytes), limits), limits, found, depth=0)
    found.note("pickle", path, "a pickle runs code when it is loaded; this one is kept as a record and never loaded")


def _look(path: str, data: bytes, limits: Limits, found: Found, depth: int) -> None:
    if data.startswith(_ZIP):
        if depth > 1:
            raise Unreadable("archives inside archives inside archives")
        for name, content in contents_of(data, limits, found):
            inside = f"{path}!{name}"
            if content.startswith((_ZIP, _NPY)) or _PICKLE.match(content) or name.endswith((".pkl", ".debug_pkl")):
                _look(inside, content, limits, found, depth + 1)
            elif name.endswith((".py", ".so")):
                found.danger("code", inside, "the archive carries code")
    elif data.startswith(_NPY):
        check_array(path, data, found)
    else:
        list_pickle(path, data, found)


def list_pickle(place: str, data: bytes, found: Found) -> None:
    """List the opcodes of *data* and judge every name that loading would import."""
    names: set[str] = set()
    calls = 0
    stream = io.BytesIO(data)
    try:
        for _ in range(_SEVERAL):
            calls += _one(place, stream, names, found)
            if stream.tell() >= len(data):
                break
        else:
            found.danger("pickle-long", place, f"more than {_SEVERAL} pickles one after the other")
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        # joblib writes raw arrays between the opcodes, where a listing by opcodes alone must end.
        tell = found.note if "joblib.numpy_pickle.NumpyArrayWrapper" in names else found.danger
        tell("listing-ends", f"{place}@{stream.tell()}", f"the listing ends here: {type(error).__name__}")
    globals_ = found.details.setdefault("globals", [])
    globals_.extend(sorted(names - set(globals_))[:200])
    found.details["calls"] = found.details.get("calls", 0) + calls


def _one(place: str, stream: io.BytesIO, names: set[str], found: Found) -> int:
    """List one pickle.  A name whose parts are not plain strings in the file counts as unknown: fail closed."""
    calls = 0
    last: list[str | None] = []  # what the last pushing opcodes pushed, None for what is not a string
    memo: dict[Any, str | None] = {}
    base = stream.tell()
    for opcode, argument, position in pickletools.genops(stream):
        at = f"{place}@{base + (position or 0)}"
        calls += opcode.name in _CALLS
        if opcode.name in _STRINGS:
            last.append(str(argument))
        elif opcode.name in _PUTS:
            memo[argument] = last[-1] if last else None
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = last[-1] if last else None
        elif opcode.name in _GETS:
            last.append(memo.get(argument))
        elif opcode.name in {"GLOBAL", "INST"}:
            _judge(*str(argument).partition(" ")[::2], at, names, found)
            last.append(None)
        elif opcode.name == "STACK_GLOBAL":
            module, name = last[-2:] if len(last) > 1 else (None, None)
            _judge(module, name, at, names, found)
            last.append(None)
        elif opcode.name in _OUTSIDE:
            found.danger("pickle-extension", at, "a name from the extension registry, which the file does not tell")
            last.append(None)
        elif opcode.name not in {"PROTO", "FRAME"}:
            last.append(None)
        del last[:-2]
    return calls


def _judge(module: str | None, name: str | None, at: str, names: set[str], found: Found) -> None:
    if module is None or name is None:
        found.danger("pickle-hidden-name", at, "a name that is put together when it is loaded")
        return
    full = f"{module}.{name}"
    if full not in names and not is_allowed(module, name):
        found.danger("pickle-global", at, f"loading it would import {full[:200]}, which is not at home in a model")
    names.add(full)


def check_array(place: str, data: bytes, found: Found) -> None:
    """Look at a ``.npy`` file: an array of objects is a pickle in disguise."""
    start = 10 if data[6:7] == b"\x01" else 12
    length = int.from_bytes(data[8:start], "little")
    header = data[start : start + length].decode("latin-1")
    if not re.match(r"\{'descr': (?:'[<>|=]?[?bBiufcSUVmM]\d*(?:\[\w+\])?'|\[[^O]*\]), 'fortran_order'", header):
        found.danger("array-of-objects", place, "an array of Python objects is a pickle")
        list_pickle(place, data[start + length :], found)


def _expanded(data: bytes, limits: Limits) -> bytes:
    """Undo the compressions that joblib knows, within the limits."""
    try:
        if data[:1] == b"\x78":
            engine = zlib.decompressobj()
            out = engine.decompress(data, limits.expanded_bytes)
            if engine.unconsumed_tail:
                raise Unreadable("it expands to more than a scan reads")
            return out
        for magic, opened in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open)):
            if data.startswith(magic):
                with opened(io.BytesIO(data)) as stream:
                    return whole(cast("IO[bytes]", stream), limits.expanded_bytes)
        if data.startswith(b"\x5d\x00\x00"):
            with lzma.open(io.BytesIO(data)) as stream:
                return whole(stream, limits.expanded_bytes)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise Unreadable("the compression is broken") from error
    if data.startswith(b"\x04\x22\x4d\x18"):
        raise Unreadable("LZ4 compression, which this scan does not read")
    return data
