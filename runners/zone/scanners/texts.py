# SPDX-License-Identifier: Apache-2.0
"""Text formats: configuration, prompts, code, and models that are text.  Secrets are named by line, never repeated."""

from __future__ import annotations

import json
import re
from typing import Any, BinaryIO

from runners.zone.scanners.findings import Found, Limits, Unreadable, whole

_SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "a JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,500}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10}"),
    "a password in an address": re.compile(r"\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@]{1,200}:[^\s:/@]{3,200}@"),
    "a password or key": re.compile(
        r"(?i)[\"']?\b(?:password|passwd|secret|api[_-]?key|access[_-]?token|private[_-]?key)[\"']?\s*[:=]\s*"
        r"[\"'](?![<$\{])[^\"'\s]{8,500}[\"']"
    ),
}
_TEMPLATE_ESCAPE = re.compile(r"\{[\{%][^}%]{0,2000}__(?:class|globals|subclasses|mro|builtins|import)__")
_YAML_OBJECT = re.compile(r"!!python/|!<tag:yaml\.org,2002:python/")
# CVE-2021-42574: characters that make text read otherwise than it runs.
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_XGBOOST = frozenset({"learner", "version", "Config"})


def scan_text(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at configuration, prompts and code."""
    text = text_of(whole(stream, limits.file_bytes))
    name = path.lower()
    if name.endswith(".json"):
        json_of(text.encode(), limits)
    if name.endswith(".jsonl"):
        for line in text.splitlines():
            json_of(line.encode() or b"null", limits)
    for number, line in enumerate(text.splitlines(), 1):
        for kind, pattern in _SECRETS.items():
            if pattern.search(line):
                found.danger("secret", f"{path}:{number}", f"this line looks like {kind}")
        if _YAML_OBJECT.search(line) and name.endswith((".yaml", ".yml")):
            found.danger("yaml-object", f"{path}:{number}", "a YAML tag that makes Python objects")
        if _BIDI.search(line) and name.endswith(".py"):
            found.danger("bidi", f"{path}:{number}", "characters that make code read otherwise than it runs")
    if match := _TEMPLATE_ESCAPE.search(text):
        line_number = text.count("\n", 0, match.start()) + 1
        found.danger("template-escape", f"{path}:{line_number}", "a template that reaches for Python's inside")
    found.details["lines"] = text.count("\n") + bool(text and not text.endswith("\n"))


def scan_lightgbm(_: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at a LightGBM model: the text that LightGBM writes, from ``tree`` to ``end of trees`` and parameters."""
    text = text_of(whole(stream, limits.file_bytes))
    if not text.startswith("tree\n") or "\nend of trees\n" not in text:
        raise Unreadable("it does not run from 'tree' to 'end of trees'")
    found.details["trees"] = len(re.findall(r"^Tree=\d+$", text, re.MULTILINE))


def scan_oci(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at an OCI descriptor or manifest: every image part is named by digest."""
    body = json_of(whole(stream, limits.header_bytes), limits)
    if not isinstance(body, dict):
        raise Unreadable("it is not a JSON object")
    parts = [body, body.get("config"), *(body.get("layers") or []), *(body.get("manifests") or [])]
    for part in parts:
        digest = part.get("digest", "") if isinstance(part, dict) else ""
        if digest and not re.match(r"sha256:[0-9a-f]{64}\Z", str(digest)):
            found.danger("oci-digest", path, "a part of the image is not named by a SHA-256 digest")
    found.details["media_type"] = str(body.get("mediaType", ""))[:200]


def judge_xgboost(body: Any, found: Found) -> None:
    """Look at the parsed model: only XGBoost's own parts."""
    if not isinstance(body, dict) or "learner" not in body or set(body) - _XGBOOST:
        raise Unreadable("its parts are not those of an XGBoost model")
    found.details["version"] = body.get("version")


def text_of(data: bytes) -> str:
    """Decode UTF-8 without control characters; raises `Unreadable`."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 at byte {error.start}") from error
    if bad := re.search(r"[\x00-\x08\x0b\x0e-\x1f\x7f]", text):
        raise Unreadable(f"a control character at character {bad.start()}")
    return text


def json_of(data: bytes, limits: Limits) -> Any:
    """Parse JSON of bounded depth in which no name occurs twice; raises `Unreadable`."""
    try:
        value = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {type(error).__name__}") from error
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > limits.depth:
            raise Unreadable(f"JSON nested deeper than {limits.depth}")
        level = [
            child
            for one in level
            for child in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(child, dict | list)
        ]
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found
