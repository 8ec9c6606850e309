# SPDX-License-Identifier: Apache-2.0
"""Which files may be served, only kept, or not even kept: by ending and first bytes together (``formats.yaml``).

This looks at names and first bytes.  It decides what is worth scanning, never that a file is harmless: the scanner that
a verdict names does that, in the zone, before the version is READY.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from khatim.vocabulary import FileRole
from policies.facts import Verdict
from policies.zones import STRICT

HEAD_BYTES: Final = 4096  # how much of a file `Formats.classify` wants; more is ignored
_TEXT: Final = re.compile(r"[^\x00-\x08\x0b\x0e-\x1f\x7f]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatVerdict:
    """What may be done with one file, why, and what to do instead.  `format` is empty when it is not known."""

    format: str
    verdict: Verdict
    rule: str
    reason: str
    scanner: str = ""
    runner: str = ""
    advice: str = ""

    @property
    def is_servable(self) -> bool:
        """Whether the file may be part of a version that is promoted."""
        return self.verdict is Verdict.SERVABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Dangerous:
    """First bytes that are refused under any other ending."""

    __pydantic_config__ = STRICT

    title: str
    magic: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a pattern that is none."""
        _check(self.magic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format of ``formats.yaml``; the key is its name."""

    __pydantic_config__ = STRICT

    title: str
    endings: tuple[str, ...]
    verdict: Verdict
    scanner: str
    runner: str = ""
    magic: tuple[str, ...] = ()
    text: bool = False
    roles: frozenset[FileRole] = frozenset(FileRole)
    advice: str = ""

    def __post_init__(self) -> None:
        """Refuse an ending that could not be matched, and a servable format that is known by its name alone."""
        _check(self.magic)
        if bad := [ending for ending in self.endings if not ending.startswith(".") or ending != ending.lower()]:
            raise ValueError(f"endings: {bad[0]!r} must start with a dot and be lower case")
        if self.verdict is Verdict.SERVABLE and not self.magic and not self.text:
            raise ValueError("magic, text: a servable format is known by its bytes, not by its name alone")

    def fits(self, head: bytes) -> bool:
        """Whether *head* can be the beginning of such a file."""
        if self.text and not _is_text(head):
            return False
        return not self.magic or _matches(self.magic, head)


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """``formats.yaml`` as read."""

    __pydantic_config__ = STRICT

    formats: Mapping[str, Format]
    dangerous: Mapping[str, Dangerous]

    def classify(self, path: str, head: bytes, role: FileRole | None = None) -> FormatVerdict:
        """Return what may be done with the file *path* whose first `HEAD_BYTES` are *head*, in *role* if one is given.

        Unknown endings, bytes that contradict the ending, and roles that the format may not have are refused.
        """
        head = head[:HEAD_BYTES]
        named = self._by_ending(path)
        if not named:
            return _unknown(path)
        fitting = {name: one for name, one in named.items() if one.fits(head)}
        if not fitting:
            return self._mismatch(path, head, named)
        # A text format takes nearly any first bytes; a pickle of protocol 0 is text as well.
        if any(one.text for one in fitting.values()) and (danger := self._danger(head)):
            return _refused(path, next(iter(fitting)), f"begins like {danger}", self._advice_for(head))
        return _in_role(path, fitting, role)

    def by_name(self, path: str, role: FileRole | None = None) -> FormatVerdict:
        """Return what may become of the file *path* by its ending alone, before its bytes were seen.

        For the registry, which never sees bytes; the zone's scan classifies with the bytes and has the last word.
        Where an ending means several formats, the first that may have *role*; without a role one that no runner loads,
        so that a configuration is never taken for a model.
        """
        named = self._by_ending(path)
        if not named:
            return _unknown(path)
        if role is None:
            named = {name: one for name, one in named.items() if not one.runner} or named
        return _in_role(path, named, role)

    def _by_ending(self, path: str) -> dict[str, Format]:
        """Return the formats of the longest ending of *path* that is known, in the file's order."""
        parts = path.rpartition("/")[2].lower().split(".")
        for start in range(1, len(parts)):
            ending = "." + ".".join(parts[start:])
            if found := {name: one for name, one in self.formats.items() if ending in one.endings}:
                return found
        return {}

    def _mismatch(self, path: str, head: bytes, named: Mapping[str, Format]) -> FormatVerdict:
        titles = " or ".join(one.title for one in named.values())
        seen = self._danger(head) or next(
            (one.title for key, one in self.formats.items() if key not in named and one.magic and one.fits(head)), ""
        )
        words = f"does not begin like {titles}" + (f" but like {seen}" if seen else "")
        return _refused(path, next(iter(named)), words, self._advice_for(head) or "Give the file its true ending.")

    def _danger(self, head: bytes) -> str:
        return next((one.title for one in self.dangerous.values() if _matches(one.magic, head)), "")

    def _advice_for(self, head: bytes) -> str:
        """Return how to convert what *head* really is."""
        looks = (one for one in self.formats.values() if one.magic and one.advice and one.fits(head))
        return next((one.advice for one in looks), "")


def _in_role(path: str, found: Mapping[str, Format], role: FileRole | None) -> FormatVerdict:
    """Return the verdict of the first format in *found* that may have *role*."""
    in_role = {name: one for name, one in found.items() if role is None or role in one.roles}
    name, one = next(iter((in_role or found).items()))
    if role is not None and not in_role:
        allowed = ", ".join(sorted(known.value for known in one.roles))
        return _refused(path, name, f"is {one.title}, which may be {allowed}, not {role.value}", one.advice)
    return FormatVerdict(
        format=name,
        verdict=one.verdict,
        rule=f"formats/{name}",
        reason=f"{path}: {one.title} is {one.verdict.value}.",
        scanner=one.scanner,
        runner=one.runner,
        advice=one.advice,
    )


def _refused(path: str, name: str, words: str, advice: str) -> FormatVerdict:
    return FormatVerdict(
        format=name, verdict=Verdict.REFUSED, rule="formats/mismatch", reason=f"{path} {words}.", advice=advice
    )


def _unknown(path: str) -> FormatVerdict:
    return FormatVerdict(
        format="",
        verdict=Verdict.REFUSED,
        rule="formats/unknown",
        reason=f"{path}: no format is known by this ending.",
        advice="Use a format of policies/formats.yaml, ONNX for a model.",
    )


def _check(magic: tuple[str, ...]) -> None:
    for pattern in magic:
        try:
            re.compile(pattern, re.DOTALL)
        except re.error as error:
            raise ValueError(f"magic: {pattern!r} is no regular expression: {error}") from error


def _matches(magic: tuple[str, ...], head: bytes) -> bool:
    text = head.decode("latin-1")  # one character a byte, so that patterns can be written for bytes
    return any(re.compile(pattern, re.DOTALL).match(text) for pattern in magic)


def _is_text(head: bytes) -> bool:
    """Whether *head* is UTF-8 without control characters; a character cut off at the end is not held against it."""
    try:
        return bool(_TEXT.match(codecs.getincrementaldecoder("utf-8")().decode(head)))
    except UnicodeDecodeError:
        return False
