# SPDX-License-Identifier: Apache-2.0
"""Models that are archives: skops, PyTorch exported programs, Keras.  Members by allow-list, code never."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from runners.zone.scanners.allowed import is_allowed
from runners.zone.scanners.archives import contents_of
from runners.zone.scanners.findings import Found, Limits, Unreadable, whole
from runners.zone.scanners.pickles import check_array, list_pickle
from runners.zone.scanners.texts import json_of

_ZIP = b"PK\x03\x04"
_CODE = (b"\x7fELF", b"MZ", b"#!", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_SKOPS = re.compile(r"(?:schema\.json|[0-9]+\.npy|[0-9]+\.npz)\Z")
# The members of torch.export.save, older (serialized_*) and newer (models/, data/), without compiled kernels.
_PT2 = re.compile(
    r"(?:[\w.-]+/)?(?:archive_format|archive_version|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/(?:version|serialization_id)|models/[\w.-]+\.json|data/(?:weights|constants|sample_inputs)/[\w.-]+"
    r"|serialized_(?:exported_program|state_dict|constants|example_inputs)\.(?:json|pt)|extra/[\w.-]+\.(?:json|txt))\Z"
)
_KERAS_CODE = frozenset({"Lambda", "TFOpLambda", "SlicingOpLambda"})
_SKOPS_NAMES = (("__module__", "__class__"), ("module_path", "function"))


def scan_skops(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at a skops file: its schema may name only what is at home in a model, its arrays hold only numbers."""
    names = set()
    for name, content in contents_of(whole(stream, limits.file_bytes), limits, found):
        names.add(name)
        if not _SKOPS.match(name):
            found.danger("archive-member", name, "no member of a skops file has such a name")
        elif name == "schema.json":
            _judge_schema(json_of(content, limits), found)
        elif name.endswith(".npy"):
            check_array(f"{path}!{name}", content, found)
        else:
            for array, inner in contents_of(content, limits, found):
                check_array(f"{path}!{name}!{array}", inner, found)
    if "schema.json" not in names:
        raise Unreadable("there is no schema.json in it")


def _judge_schema(schema: Any, found: Found) -> None:
    seen = {
        (str(node[module]), str(node[name]))
        for node in _nodes(schema)
        for module, name in _SKOPS_NAMES
        if module in node and name in node
    }
    found.details["types"] = sorted(f"{module}.{name}" for module, name in seen)[:200]
    for module, name in sorted(seen):
        if not is_allowed(module, name):
            found.danger("skops-type", "schema.json", f"{module}.{name} is not at home in a model"[:300])


def scan_pt2(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at a PyTorch exported program: graph as JSON, weights as raw bytes, pickles listed, no compiled code."""
    models = 0
    for name, content in contents_of(whole(stream, limits.file_bytes), limits, found):
        inside = f"{path}!{name}"
        if not _PT2.match(name) or content.startswith(_CODE):
            found.danger("archive-member", name, "not a member of an exported program without compiled code")
        elif name.endswith(".json"):
            models += "model" in name or "program" in name
            json_of(content, limits)
        elif content.startswith(_ZIP):
            _list_inner(inside, content, limits, found)
    if not models:
        raise Unreadable("there is no exported program in it")


def _list_inner(place: str, content: bytes, limits: Limits, found: Found) -> None:
    for name, inner in contents_of(content, limits, found):
        if name.endswith(".pkl"):
            list_pickle(f"{place}!{name}", inner, found)
        elif inner.startswith((*_CODE, _ZIP)) or name.endswith((".py", ".so")):
            found.danger("archive-member", f"{place}!{name}", "an archive of tensors holds no code and no archive")


def scan_keras(path: str, stream: BinaryIO, limits: Limits, found: Found) -> None:
    """Look at a Keras file: layers that hold code are named; HDF5 is kept as a record without being looked into."""
    data = whole(stream, limits.file_bytes)
    if not data.startswith(_ZIP):
        found.note("not-inspected", path, "HDF5 is kept as a record; this scan does not look into it")
        return
    for name, content in contents_of(data, limits, found):
        if name == "config.json":
            kinds = {str(node.get("class_name")) for node in _nodes(json_of(content, limits))}
            for kind in sorted(kinds & _KERAS_CODE):
                found.danger("keras-code", f"{path}!{name}", f"a layer of class {kind} holds Python code")


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
