# SPDX-License-Identifier: Apache-2.0
"""A bundle verified away from the registry: the honest one holds, and every tampered one is refused by its place."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audit.checkpoint import Checkpoint
from governance.reports import archive, bundle, manifest, sheets
from governance.reports.archive import Draft
from governance.reports.zipform import LOCAL
from khatim.errors import KhatimError, Malformed, Misconfigured, VerificationFailed
from khatim.vocabulary import Digest
from registry.signing.authority import Authority
from registry.signing.trust import dumps, trusted_root
from tests.governance.reports.exported import Exported, export_to

SPREAD = 400  # positions over the whole file, beside every byte of its structure
Change = Callable[[dict[str, bytes]], object]


def place_of(path: Path, **known: object) -> str:
    with pytest.raises(VerificationFailed) as refused:
        bundle.verify_bundle_file(path, **known)  # type: ignore[arg-type]  # as the tests name them
    return str(refused.value.members["place"])


# --- the honest bundle ---


def test_a_bundle_verifies_and_says_on_whose_word(exported: Exported) -> None:
    report = bundle.verify_bundle_file(exported.path)

    assert report.subject == "version:oncology/malignancy@1"
    assert report.identity == "spiffe://test.khatim/service/registry"
    assert report.trust == "included"
    assert bundle.INCLUDED_ROOT in report.caveats
    assert report.trust_root == Digest.of(exported.root.read_bytes())
    assert report.statements == 10
    assert report.populations["approvals"] == 3
    assert report.ledger.size == report.populations["events"] + len(exported_elsewhere(exported))


def exported_elsewhere(exported: Exported) -> list[int]:
    """Return the entries that are about nothing in scope."""
    with archive.opened(exported.path) as opened:
        inside = {int(row["ledger_index"]) for row in sheets.read(opened.read("populations/events.csv"))}
        size = manifest.Manifest.loads(opened.read(manifest.MANIFEST)).ledger.size
    return [index for index in range(size) if index not in inside]


def test_with_a_trust_root_key_and_checkpoint_of_ones_own_nothing_is_left_open(exported: Exported) -> None:
    report = bundle.verify_bundle_file(
        exported.path, trusted_root=exported.root, vkey=exported.vkey, checkpoint=exported.checkpoint
    )

    assert report.trust == "given"
    assert report.caveats == ()


def test_no_server_and_no_database_are_needed(exported: Exported) -> None:
    code = (
        "import sys; from pathlib import Path; from governance.reports import bundle; "
        "bundle.verify_bundle_file(Path(sys.argv[1])); "
        "assert not {'sqlalchemy', 'psycopg', 'fastapi', 'jinja2'} & set(sys.modules), sorted(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, exported.path], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr


# --- one byte changed, anywhere ---


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    return Path(shutil.copy(exported.path, tmp_path / "copy.zip"))


def structural(path: Path) -> Iterator[int]:
    """Yield the position of every byte that belongs to no content: headers, names, central directory, end."""
    with archive.opened(path) as opened:
        members = sorted(opened.members.values(), key=lambda one: one.at)
    for member in members:
        yield from range(member.at, member.at + LOCAL.size + len(member.name))
    yield from range(members[-1].end, path.stat().st_size)


def checksums(path: Path) -> dict[int, str]:
    """Return the positions of the members' checksums: a bent one looks like a bent member, and names it."""
    with archive.opened(path) as opened:
        return {one.at + 14 + place: one.name for one in opened.members.values() for place in range(4)}


def bend(path: Path, at: int, mask: int) -> str:
    """Change one byte, verify, change it back; return the place that was named."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ mask]))
        file.flush()
        try:
            return place_of(path)
        finally:
            file.seek(at)
            file.write(bytes([byte]))


def test_one_byte_changed_anywhere_is_named(copy: Path) -> None:
    chance = random.Random(2)
    size = copy.stat().st_size
    spread = [size * number // SPREAD for number in range(SPREAD)]
    sums = checksums(copy)
    with archive.opened(copy) as opened:
        members = list(opened.members.values())
    for at in spread:
        place = bend(copy, at, chance.randrange(1, 256))
        inside = next((one.name for one in members if one.content_at <= at < one.end), sums.get(at))

        assert place == inside if inside else place.startswith("zip structure at byte "), (at, place)


def test_every_byte_of_the_structure_is_watched(copy: Path) -> None:
    chance = random.Random(3)
    sums = checksums(copy)
    for at in list(structural(copy)):
        place = bend(copy, at, chance.randrange(1, 256))

        assert place == sums.get(at) or place.startswith("zip structure at byte "), (at, place)


def test_every_member_is_named_when_it_changes(copy: Path) -> None:
    with archive.opened(copy) as opened:
        members = list(opened.members.values())
    for one in members:
        assert bend(copy, one.content_at + one.size // 2, 0x01) == one.name


def test_cut_and_lengthened_files_are_refused(copy: Path) -> None:
    whole = copy.read_bytes()
    for bent in (whole[:-1], whole[: len(whole) // 2], whole + b"x", b"x" + whole, whole + whole, b""):
        copy.write_bytes(bent)

        assert place_of(copy)


# --- files changed by somebody who writes a proper zip, but has no pen of the registry ---


def rewritten(exported: Exported, to: Path, change: Change) -> Path:
    with archive.opened(exported.path) as opened:
        files = {name: opened.read(name) for name in opened.members}
    change(files)
    with Draft() as draft:
        for name, data in files.items():
            draft.add(name, data)
        with draft.write() as file:
            to.write_bytes(file.read())
    return to


def spoil(name: str, old: bytes, new: bytes) -> Change:
    def change(files: dict[str, bytes]) -> None:
        assert old in files[name], name
        files[name] = files[name].replace(old, new, 1)

    return change


def swap(one: str, other: str) -> Change:
    def change(files: dict[str, bytes]) -> None:
        files[one], files[other] = files[other], files[one]

    return change


def test_a_changed_added_or_lost_file_is_named(exported: Exported, tmp_path: Path) -> None:
    cases: list[tuple[str, Change]] = [
        ("report.html", spoil("report.html", b"Refused", b"Allowed")),
        ("extra.txt", lambda files: files.update({"extra.txt": b"x"})),
        ("populations/refusals.csv", lambda files: files.pop("populations/refusals.csv")),
        ("ledger/checkpoint", lambda files: files.pop("ledger/checkpoint")),
        ("manifest.json", lambda files: files.pop("manifest.json")),
        ("manifest.sigstore.json", lambda files: files.pop("manifest.sigstore.json")),
        ("populations/datasets.csv", swap("populations/datasets.csv", "populations/features.csv")),
        ("manifest.json", swap("manifest.json", "manifest.sigstore.json")),
        ("manifest.json", spoil("manifest.json", b'"createdBy":"p-adel"', b'"createdBy":"p-sami"')),
        ("manifest.json", spoil("manifest.json", b"{", b"{ ")),
        ("manifest.sigstore.json", spoil("manifest.sigstore.json", b'{"mediaType"', b'{ "mediaType"')),
        ("manifest.sigstore.json", spoil("manifest.sigstore.json", b'"sig":"M', b'"sig":"N')),
        ("manifest.sigstore.json", lambda files: files.update({"manifest.sigstore.json": b"\xff"})),
    ]
    for number, (place, change) in enumerate(cases):
        path = rewritten(exported, tmp_path / f"{number}.zip", change)

        assert place_of(path, trusted_root=exported.root) == place, number


def test_a_new_manifest_without_the_pen_is_refused(exported: Exported, tmp_path: Path) -> None:
    path = exported.forged(tmp_path / "a.zip", spoil("report.html", b"Refused", b"Allowed"), signed=False)

    assert place_of(path, trusted_root=exported.root) == "manifest.json"


def test_a_manifest_signed_by_an_agent_or_a_person_is_refused(exported: Exported, tmp_path: Path) -> None:
    notary = exported.world.parts.notary
    for number, who in enumerate((notary.agent("ae-health", "a-1"), notary.person("p-adel"))):
        path = exported.forged(tmp_path / f"{number}.zip", by=who)

        assert place_of(path, trusted_root=exported.root) == "manifest.sigstore.json"


def test_another_authority_is_refused_by_a_trust_root_of_ones_own(exported: Exported, tmp_path: Path) -> None:
    """A forger with an authority of their own writes a bundle that agrees with itself, and no further."""
    other = Authority.create(tmp_path / "authority", "test", exported.world.clock)
    root = tmp_path / "other.json"
    root.write_text(dumps(trusted_root(other.record)))
    other.close()

    assert place_of(exported.path, trusted_root=root) == "manifest.sigstore.json"
    root.write_text("{}")
    with pytest.raises(Misconfigured):
        bundle.verify_bundle_file(exported.path, trusted_root=root)
    with pytest.raises(Malformed):
        bundle.verify_bundle_file(exported.path, trusted_root=tmp_path / "none.json")


# --- a registry that signs what is not so ---


def without_a_row(name: str, number: int = 0) -> Change:
    """Leave a row out of a population, and let its page agree."""

    def change(files: dict[str, bytes]) -> None:
        csv, page = f"populations/{name}.csv", f"populations/{name}.json"
        lines = files[csv].split(b"\r\n")
        files[csv] = b"\r\n".join(lines[: number + 1] + lines[number + 2 :])
        told = json.loads(files[page])
        told |= {"rows": told["rows"] - 1, "csv_sha256": Digest.of(files[csv]).hex}
        files[page] = json.dumps(told).encode()

    return change


def in_a_cell(name: str, old: bytes, new: bytes) -> Change:
    """Change a cell of a population, and let its page agree."""

    def change(files: dict[str, bytes]) -> None:
        csv, page = f"populations/{name}.csv", f"populations/{name}.json"
        spoil(csv, old, new)(files)
        files[page] = json.dumps({**json.loads(files[page]), "csv_sha256": Digest.of(files[csv]).hex}).encode()

    return change


@pytest.mark.parametrize(
    "name", ["refusals", "residency-decisions", "gate-decisions", "deployments", "findings", "jobs", "events", "people"]
)
def test_a_row_left_out_is_noticed_although_the_registry_signed(exported: Exported, tmp_path: Path, name: str) -> None:
    path = exported.forged(tmp_path / "a.zip", without_a_row(name))

    assert place_of(path, trusted_root=exported.root) == f"populations/{name}.csv"


def test_an_approval_cannot_be_given_to_another_in_the_sheet(exported: Exported, tmp_path: Path) -> None:
    path = exported.forged(tmp_path / "a.zip", in_a_cell("approvals", b"Z,p-vera,", b"Z,p-sami,"))

    assert place_of(path) == "populations/approvals.csv"


def test_pages_that_do_not_fit_their_sheets_are_refused(exported: Exported, tmp_path: Path) -> None:
    page = "populations/versions.json"
    for number, change in enumerate(
        (
            spoil(page, b"SELECT", b"SELEKT"),
            spoil(page, b'"gaps":0', b'"gaps":1'),
            spoil(page, b'"rows":1', b'"rows":2'),
            lambda files: files.update({page: b"[]"}),
            lambda files: files.update({page: b"nothing"}),
        )
    ):
        assert place_of(exported.forged(tmp_path / f"{number}.zip", change)) == page


def test_a_population_of_another_name_or_form_is_refused(exported: Exported, tmp_path: Path) -> None:
    more = exported.forged(tmp_path / "a.zip", lambda files: files.update({"populations/more.csv": b"a\r\n"}))
    bent = exported.forged(tmp_path / "b.zip", in_a_cell("versions", b"ledger_index,", b"ledger_index,odd,"))

    assert place_of(more) == "populations/more.csv"
    assert place_of(bent) == "populations/versions.csv"


def test_statements_are_those_that_the_ledger_admitted(exported: Exported, tmp_path: Path) -> None:
    first = "attestations/001-dataset-snapshot-oncology-wdbc-1.sigstore.json"
    lost = exported.forged(tmp_path / "a.zip", lambda files: files.pop(first))
    other = exported.forged(tmp_path / "b.zip", spoil(first, b"{", b"{ "))

    assert place_of(lost) == "attestations/"
    assert place_of(other) == first


def test_scope_subject_policy_and_trust_are_those_of_the_ledger(exported: Exported, tmp_path: Path) -> None:
    with archive.opened(exported.path) as opened:
        said = manifest.Manifest.loads(opened.read(manifest.MANIFEST))
    smaller = tuple(ref for ref in said.scope if not ref.startswith("finding:"))

    def rootless(files: dict[str, bytes]) -> None:
        config = json.loads(files[manifest.TRUST_CONFIG])
        config["trustedRoot"]["tlogs"] = []
        files[manifest.TRUST_CONFIG] = json.dumps(config).encode()

    cases = {
        "manifest.json": [
            exported.forged(tmp_path / "1.zip", scope=smaller),
            exported.forged(tmp_path / "2.zip", digest=str(Digest.of(b"other"))),
            exported.forged(tmp_path / "3.zip", subject="version:oncology/other@1"),
        ],
        "manifest.sigstore.json": [exported.forged(tmp_path / "4.zip", instance="other")],
        "policy/bundle.json": [exported.forged(tmp_path / "5.zip", policy=Digest.of(b"other"))],
        "trust/client_trust_config.json": [exported.forged(tmp_path / "6.zip", rootless)],
        "trust/ledger.vkey": [
            exported.forged(tmp_path / "7.zip", lambda files: files.update({manifest.VKEY: b"nothing"}))
        ],
    }
    for place, paths in cases.items():
        for path in paths:
            assert place_of(path, trusted_root=exported.root) == place, path.name


# --- the ledger ---


def test_a_ledger_with_another_entry_tile_or_checkpoint_is_refused(exported: Exported, tmp_path: Path) -> None:
    with archive.opened(exported.path) as opened:
        size = manifest.Manifest.loads(opened.read(manifest.MANIFEST)).ledger.size
    entries, tile = f"ledger/tile/entries/000.p/{size}", f"ledger/tile/0/000.p/{size}"
    entry = exported.forged(tmp_path / "1.zip", spoil(entries, b'"role":"validator"', b'"role":"validatos"'))
    changed = exported.forged(tmp_path / "2.zip", spoil(entries, b"p-vera", b"p-sami"))
    leaf = exported.forged(tmp_path / "3.zip", lambda files: files.update({tile: b"\0" * 32 + files[tile][32:]}))
    unsigned = exported.forged(tmp_path / "4.zip", lambda files: files.update({"ledger/checkpoint": b"nothing\n"}))

    assert place_of(entry).startswith("ledger/")
    assert place_of(changed).startswith("ledger/entry ")
    assert place_of(leaf).startswith("ledger/")
    assert place_of(unsigned) == "ledger/checkpoint"


def test_an_older_ledger_is_refused_by_manifest_and_by_a_checkpoint_that_is_known(
    exported: Exported, tmp_path: Path
) -> None:
    """A rollback: the older bundle is genuine, so only who knows the later checkpoint can tell."""
    later = tmp_path / "later.zip"
    export_to(exported.world, later)
    with archive.opened(later) as opened:
        note = tmp_path / "later.note"
        note.write_bytes(opened.read("ledger/checkpoint"))
    with archive.opened(exported.path) as opened:
        old = {name: opened.read(name) for name in opened.members if name.startswith("ledger/")}

    def roll_back(files: dict[str, bytes]) -> None:
        for name in [name for name in files if name.startswith("ledger/")]:
            del files[name]
        files.update(old)

    rolled = replace(exported, path=later).forged(tmp_path / "rolled.zip", roll_back)

    assert bundle.verify_bundle_file(later, checkpoint=exported.checkpoint).ledger.size
    assert place_of(rolled) == "ledger/checkpoint"
    assert place_of(exported.path, checkpoint=note) == "ledger/checkpoint"


def test_a_fork_is_refused_by_a_checkpoint_that_is_known(exported: Exported, tmp_path: Path) -> None:
    signed, _, signature = exported.checkpoint.read_text().rpartition("\n\n")
    known = Checkpoint.parse(signed + "\n")
    forked = tmp_path / "forked"
    forked.write_text(f"{Checkpoint(known.origin, known.size, os.urandom(32)).text()}\n{signature}")

    assert place_of(exported.path, checkpoint=forked) == "ledger/checkpoint"


def test_another_verifier_key_than_the_known_one_is_refused(exported: Exported) -> None:
    other = f"{exported.vkey[:-4]}AAA="

    assert place_of(exported.path, vkey=other) == "trust/ledger.vkey"


def test_whatever_is_wrong_is_an_error_of_ours(copy: Path) -> None:
    for junk in (b"PK\3\4" + b"\xff" * 200, b"PK\5\6" + bytes(18), os.urandom(4096), b"{}"):
        copy.write_bytes(junk)
        with pytest.raises(KhatimError):
            bundle.verify_bundle_file(copy)
