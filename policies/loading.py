# SPDX-License-Identifier: Apache-2.0
"""Reads the policy files of a folder into one immutable bundle, and says file, line and key when something is wrong.

The only module that knows YAML.  It reads YAML's core: true and false are the only booleans (``NO`` is Norway, ``on``
is a word), dates are texts, no aliases, no key twice.

An overlay is a second folder with some of the same files, laid over the first as a JSON merge patch (RFC 7396):
mappings merge, null takes an entry away, everything else replaces.  Rows of an overlay's ``roles.csv`` are added, and
DENY wins.  ``access.conf`` cannot be overlaid: how grants are read is not a customer's choice.

The digest of a bundle is SHA-256 over `PolicyBundle.canonical`: what the rules say after the overlay.  Comments and
spacing of YAML do not change it (they must not void approvals); the line numbers of grants do, because decisions name
them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from khatim.errors import Misconfigured
from khatim.vocabulary import Access, Digest
from policies.assignments import Assignments
from policies.conditions import Conditions
from policies.entities import Entities
from policies.findings import FindingRules
from policies.formats import Formats
from policies.grants import read_grants
from policies.incidents import Incidents
from policies.overlaid import OVERLAY, YAML_FILES, check_overlay, text_of, texts_of, write_overlay
from policies.requirements import Gates
from policies.residency import ResidencyRules
from policies.retention import Retention
from policies.runtime import RuntimePolicy
from policies.sign_in import SignInRules
from policies.transfers import TransfersFile
from policies.zones import Zones, ZonesFile

HERE: Final = Path(__file__).parent
DEMO: Final = HERE / "overlays" / "demo"
_T = TypeVar("_T")
_Path = tuple[str, ...]


class _Core(yaml.CSafeLoader):
    """YAML 1.2 core types; 1.1 would read NO as false and 2026-11-22 as a date that JSON does not have."""


_Core.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"(?:true|false)\Z", "tf"),
    ("null", r"(?:null|~|)\Z", ["n", "~", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)\Z", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", "-+.0123456789"),
):
    _Core.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


@dataclass(frozen=True, slots=True)
class _Document:
    """A YAML file as JSON values, with the place of every key."""

    values: dict[str, Any]
    places: Mapping[_Path, str]

    def place(self, path: _Path) -> str:
        """Return ``file:line`` of *path*, or of the nearest key above it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]

    def under(self, patch: _Document) -> _Document:
        """Return this document with *patch* laid over it."""
        return _Document(_merge(self.values, patch.values), {**self.places, **patch.places, (): self.places[()]})


def _merge(base: Any, patch: Any) -> Any:
    # RFC 7396, section 2.
    if not isinstance(patch, dict):
        return patch
    merged = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _document(path: Path, label: str) -> _Document:
    """Read one YAML file; *label* is its name in messages."""
    try:
        loader = _Core(text_of(path))
        try:
            root = loader.get_single_node()
            places: dict[_Path, str] = {(): label}
            values = {} if root is None else _Reader(loader, label, places).read(root, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Misconfigured(f"{label}:{line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Misconfigured(f"{label}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise Misconfigured(f"{label}:1: a policy file is a mapping of keys to values")
    return _Document(values, places)


class _Reader:
    """Turns YAML nodes into JSON values and notes where each key stands."""

    def __init__(self, loader: _Core, label: str, places: dict[_Path, str]) -> None:
        self._loader = loader
        self._label = label
        self._places = places
        self._seen: set[int] = set()

    def read(self, node: yaml.Node, path: _Path) -> Any:
        place = f"{self._label}:{node.start_mark.line + 1}"
        if id(node) in self._seen:
            raise Misconfigured(f"{place}: an alias (*name); write the value out, so that a reader sees it")
        self._seen.add(id(node))
        if path:
            self._places.setdefault(path, place)
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, str(number))) for number, child in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _pairs(self, node: yaml.MappingNode, path: _Path) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            place = f"{self._label}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                raise Misconfigured(f"{place}: a key is one word")
            key = str(key_node.value)
            if key in seen:
                raise Misconfigured(f"{place}: {'.'.join((*path, key))} stands twice")
            seen.add(key)
            self._places[(*path, key)] = place
            yield key, self.read(value_node, (*path, key))


def _decode(kind: type[_T], document: _Document) -> _T:
    """Build *kind* from a document; what is wrong is told by file, line and key."""
    try:
        return TypeAdapter(kind).validate_python(document.values)
    except ValidationError as error:
        complaints = []
        for found in error.errors(include_url=False)[:10]:
            path = tuple(str(part) for part in found["loc"] if part != "[key]")
            complaints.append(f"{document.place(path)}: {'.'.join(path) or 'the file'}: {found['msg']}")
        raise Misconfigured("; ".join(complaints)) from error


def _document_of(name: str, folder: Path | None, overlay: Path | None) -> _Document:
    document = _document((folder or HERE) / name, name)
    if overlay is not None and (overlay / name).exists():
        document = document.under(_document(overlay / name, f"{overlay.name}/{name}"))
    return document


def load_formats(folder: Path | None = None, overlay: Path | None = None) -> Formats:
    """Read ``formats.yaml`` alone, for an agent, which has no Casbin; raises `Misconfigured`."""
    return _decode(Formats, _document_of("formats.yaml", folder, overlay))


def load_runtime(folder: Path | None = None, overlay: Path | None = None) -> RuntimePolicy:
    """Read ``runtime.yaml`` alone; raises `Misconfigured`."""
    return _decode(RuntimePolicy, _document_of("runtime.yaml", folder, overlay))


@dataclass(frozen=True, slots=True)
class PolicyBundle:
    """All rules of an installation, read once and never changed.

    `canonical` are the bytes that `digest` is over, `overlay` the texts by name that were laid over the shipped files.
    """

    digest: Digest
    # The digest names the bundle; nobody wants all its rules in a log line.
    canonical: bytes = field(repr=False)
    access: Access = field(repr=False)
    zones: Zones = field(repr=False)
    residency: ResidencyRules = field(repr=False)
    gates: Gates = field(repr=False)
    formats: Formats = field(repr=False)
    runtime: RuntimePolicy = field(repr=False)
    retention: Retention = field(repr=False)
    assignments: Assignments = field(repr=False)
    findings: FindingRules = field(repr=False)
    incidents: Incidents = field(repr=False)
    sign_in: SignInRules = field(repr=False)
    overlay: Mapping[str, str] = field(repr=False)

    @classmethod
    def load(cls, folder: Path | None = None, overlay: Path | None = None) -> PolicyBundle:
        """Read and check every file of *folder* (the shipped one by default) under *overlay*.

        Raises `Misconfigured` for the first file that is missing, unreadable or contradicts itself.
        """
        # The agents' images have no Casbin and never decide access; they import this module for formats and runtime.
        from policies.access import CasbinAccess  # noqa: PLC0415

        home = folder or HERE
        if overlay is not None:
            check_overlay(overlay)
        documents = {name: _document_of(name, home, overlay) for name in YAML_FILES}
        model = text_of(home / "access.conf")
        conditions = _decode(Conditions, documents["conditions.yaml"])
        grants = read_grants(text_of(home / "roles.csv"), conditions=conditions.conditions)
        if overlay is not None and (overlay / "roles.csv").exists():
            grants += read_grants(text_of(overlay / "roles.csv"), f"{overlay.name}/roles.csv", conditions.conditions)
        canonical = json.dumps(
            {
                **{name: document.values for name, document in documents.items()},
                "access.conf": [line for line in model.splitlines() if line.strip() and not line.startswith("#")],
                "roles.csv": [[grant.place, *grant.row] for grant in grants],
            },
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            sort_keys=True,
        ).encode()
        digest = Digest.of(canonical)
        entities = _decode(Entities, documents["entities.yaml"])
        zones = _built(Zones, documents["zones.yaml"], _decode(ZonesFile, documents["zones.yaml"]))
        transfers = _decode(TransfersFile, documents["transfers.yaml"])
        return cls(
            digest=digest,
            canonical=canonical,
            access=CasbinAccess(model, grants, conditions=conditions, entities=entities, policy=str(digest)),
            zones=zones,
            residency=_built(ResidencyRules, documents["transfers.yaml"], zones, transfers, str(digest)),
            gates=replace(_decode(Gates, documents["gates.yaml"]), policy=str(digest)),
            formats=_decode(Formats, documents["formats.yaml"]),
            runtime=replace(_decode(RuntimePolicy, documents["runtime.yaml"]), policy=str(digest)),
            retention=_decode(Retention, documents["retention.yaml"]),
            assignments=replace(_decode(Assignments, documents["assignments.yaml"]), policy=str(digest)),
            findings=_decode(FindingRules, documents["findings.yaml"]),
            incidents=_decode(Incidents, documents["incidents.yaml"]),
            sign_in=_decode(SignInRules, documents["sign_in.yaml"]),
            overlay=texts_of(overlay) if overlay else {},
        )

    @classmethod
    def of_files(cls, files: Mapping[str, str]) -> PolicyBundle:
        """Read the shipped rules under an overlay of *files*, texts by name; raises `Misconfigured`."""
        with TemporaryDirectory(prefix="khatim-policy-") as folder:
            overlay = write_overlay(Path(folder) / OVERLAY, files)
            return cls.load(overlay=overlay)


def _built(kind: type[_T], document: _Document, *parts: Any) -> _T:
    """Build *kind*, whose own checks name the key: ``rules.health.ae/x.to: there is no column``."""
    try:
        return kind(*parts)
    except ValueError as error:
        key, _, words = str(error).partition(": ")
        path = next((path for path in document.places if path and ".".join(path) == key), ())
        raise Misconfigured(f"{document.place(path)}: {key}: {words}") from error
