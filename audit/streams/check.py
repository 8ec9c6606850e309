# SPDX-License-Identifier: Apache-2.0
"""What a receiver got, looked at: gaps, duplicates, entries that contradict each other, a broken chain, a lost end.

Takes what was received as lines (one message each, in any of the four formats, mixed as they may be) or as frames of
RFC 5425.  Order does not matter, for what is sent again comes later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_FRAME = re.compile(rb"([1-9][0-9]{0,8}) <")
_SD = re.compile(r"\[khatim@\d+ ((?:[^\]\\]|\\.)*)\]")
_PARAM = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_UNESCAPE = re.compile(r"\\(.)")
_PAIR = re.compile(r"(?:^|(?<= ))(\w+)=((?:\\.|[^=\\])*?)(?= \w+=|$)")
_NUMBERS = frozenset({"index", "size"})


@dataclass
class Findings:
    """What was found.  *gaps* are ranges of indexes [from, to); *lost* how many are missing at the end."""

    messages: int = 0
    first: int | None = None
    last: int | None = None
    withheld: int = 0
    duplicates: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    contradictions: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    size: int = 0
    lost: int = 0
    unreadable: list[int] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing or contradicts itself; duplicates and withheld places are no fault."""
        return self.first is not None and not (self.gaps or self.contradictions or self.broken or self.lost)


def check(lines: Iterable[bytes], *, start: int | None = None) -> Findings:
    """Look at what was received; *start* is the first index that must be there (by default the lowest received).

    A line that cannot be read is noted by its number: a receiver or sender that was killed leaves half a line behind.
    """
    found, seen = Findings(), dict[int, tuple[str, str, str]]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        members = read(line)
        if members is None:
            found.unreadable.append(number)
            continue
        found.messages += 1
        if "index" not in members:
            found.size = max(found.size, members["size"])
            continue
        index = members["index"]
        said = (members.get("leaf", ""), members.get("hash", ""), members.get("prev", ""))
        before = seen.setdefault(index, said)
        if before is not said:
            found.duplicates += 1
            if before[0] and said[0] and before != said:
                found.contradictions.append(index)
            elif not before[0]:
                seen[index] = said
    _judge(found, seen, start)
    return found


def _judge(found: Findings, seen: dict[int, tuple[str, str, str]], start: int | None) -> None:
    if not seen:
        found.lost = found.size - (start or 0)
        return
    order = sorted(seen)
    found.first, found.last = order[0], order[-1]
    found.withheld = sum(1 for said in seen.values() if not said[0])
    expected = order[0] if start is None else start
    for index in order:
        if index > expected:
            found.gaps.append((expected, index))
        elif index - 1 in seen and (seen[index - 1][1] and seen[index][2] and seen[index - 1][1] != seen[index][2]):
            found.broken.append(index)
        expected = max(expected, index + 1)
    found.lost = max(0, found.size - expected)


def read(line: bytes) -> dict[str, Any] | None:
    """Return index, leaf, hash and prev, or the size, that a message tells; None when it is none of ours."""
    try:
        members = _members(line.decode().strip("\r\n"))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return members if {"index", "size"} & members.keys() else None


def _members(text: str) -> dict[str, Any]:
    if text.startswith("<"):
        data = _SD.search(text)
        if data is None:
            return {}
        pairs = {name: _UNESCAPE.sub(r"\1", value) for name, value in _PARAM.findall(data[1])}
        _require_whole(text[data.end() + 1 :])
        return _typed(pairs)
    if text.startswith("CEF:"):
        head = re.match(r"CEF:0(?:\|(?:[^|\\]|\\.)*){6}\|", text)
        if head is None:
            return {}
        _require_whole(text)
        pairs = dict(_PAIR.findall(text[head.end() :]))
        named = {pairs[f"{key}Label"]: pairs[key] for key in list(pairs) if f"{key}Label" in pairs}
        return _typed({name: value for name, value in named.items() if name != "zone"})
    body = json.loads(text)
    members: dict[str, Any] = body["khatim"] if "khatim" in body else body["unmapped"]["khatim"]
    return dict(members)


def _require_whole(text: str) -> None:
    """Raise `ValueError` for half a text, which a sender or receiver leaves behind that was killed."""
    if not text.startswith("CEF:"):
        json.loads(text)
    elif not text.endswith("}"):
        raise ValueError("half a message")


def _typed(pairs: dict[str, str]) -> dict[str, Any]:
    return {name: int(value) if name in _NUMBERS else value for name, value in pairs.items()}


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the messages of a received *file*: its lines, or its frames where it begins with one (RFC 5425)."""
    start = file.read(16)
    file.seek(0)
    if not _FRAME.match(start):
        yield from file
        return
    while length := _length(file):
        data = file.read(length)
        yield data
        if len(data) < length:
            return


def _length(file: BinaryIO) -> int:
    digits = b""
    while (byte := file.read(1)).isdigit():
        digits += byte
    return int(digits or b"0")
