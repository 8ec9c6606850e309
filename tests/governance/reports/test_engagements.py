# SPDX-License-Identifier: Apache-2.0
"""What an export holds: everything about the version, told right, harmless to open, and recorded."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import psycopg
import pytest

from gateway import app
from governance.reports import archive, engagements, manifest, populations, sheets
from governance.reports.manifest import Manifest
from khatim.errors import Unavailable
from khatim.vocabulary import Digest
from registry.signing import bundle as bundles
from registry.signing import statements
from tests.governance.reports.exported import ARABIC, FORMULA, PATH, Exported, export_to, meet_the_auditor
from tests.support.http import good, problem
from tests.support.people import ADEL, EVERYBODY, MONA, SAMI
from tests.support.world import VERSION, World

REF = "version:oncology/malignancy@1"


@pytest.fixture(scope="module")
def files(exported: Exported) -> dict[str, bytes]:
    with archive.opened(exported.path) as bundle:
        return {name: bundle.read(name) for name in bundle.members}


@pytest.fixture(scope="module")
def said(files: dict[str, bytes]) -> Manifest:
    return Manifest.loads(files[manifest.MANIFEST])


def rows(files: dict[str, bytes], name: str) -> list[dict[str, str]]:
    return sheets.read(files[f"populations/{name}.csv"])


# --- the files ---


def test_a_bundle_has_the_files_that_an_auditor_was_promised(files: dict[str, bytes]) -> None:
    kinds = [name.split("/")[1].split("-oncology")[0] for name in sorted(files) if name.startswith("attestations/")]

    assert {manifest.MANIFEST, manifest.SIGNATURE, manifest.REPORT, manifest.POLICY} <= files.keys()
    assert {manifest.TRUST_CONFIG, manifest.TRUSTED_ROOT, manifest.VKEY, "ledger/checkpoint"} <= files.keys()
    assert kinds == [
        "001-dataset-snapshot",
        "002-feature-materialization",
        "003-training",
        "004-model-signature",
        "005-scan",
        "006-evaluation",
        "007-approval-validator",
        "008-approval-privacy-officer",
        "009-approval-model-risk-approver",
        "010-deployment",
    ]
    assert {f"populations/{one.name}.{end}" for one in populations.ALL for end in ("csv", "json")} <= files.keys()


def test_the_manifest_lists_every_other_file(files: dict[str, bytes], said: Manifest) -> None:
    others = files.keys() - {manifest.MANIFEST, manifest.SIGNATURE}

    assert {name: (Digest.of(files[name]), len(files[name])) for name in others} == {
        name: (one.digest, one.size) for name, one in said.files.items()
    }
    assert said.subject == REF
    assert said.created_by == ADEL.ref
    assert Digest.of(files[manifest.POLICY]) == said.policy
    assert Manifest.loads(said.dumps()) == said


def test_the_registry_signs_the_manifest_in_its_own_name(files: dict[str, bytes], exported: Exported) -> None:
    notary = exported.world.parts.notary
    signed = files[manifest.SIGNATURE].decode()
    verified = notary.check(signed, statements.ENGAGEMENT, [Digest.of(files[manifest.MANIFEST])])

    assert verified.identity == notary.service()
    assert verified.predicate["subject"] == REF


def test_the_statements_are_the_bundles_that_were_verified_on_arrival(files: dict[str, bytes]) -> None:
    for row, name in zip(
        rows(files, "statements"), sorted(n for n in files if n.startswith("attestations/")), strict=True
    ):
        assert str(Digest.of(files[name])) == row["digest"]
        assert statements.parse(bundles.parse(files[name].decode()).payload).predicate_type == row["predicate_type"]


def test_the_file_is_announced_with_its_size_and_a_name(exported: Exported) -> None:
    assert int(exported.headers["content-length"]) == exported.path.stat().st_size
    assert exported.headers["content-type"] == "application/zip"
    assert "engagement-oncology-malignancy-1.zip" in exported.headers["content-disposition"]


# --- the populations ---


def test_each_population_has_the_rows_of_the_story(files: dict[str, bytes]) -> None:
    counts = {one.name: len(rows(files, one.name)) for one in populations.ALL}

    assert {name: count for name, count in counts.items() if name not in ("events", "people", "jobs")} == {
        "approvals": 3,
        "authorisations": 1,
        "datasets": 1,
        "deployments": 1,
        "evidence": 2,
        "exports": 0,
        "features": 1,
        "findings": 1,
        "gate-decisions": 2,
        "monitor-runs": 1,
        "refusals": 4,
        "revocations": 0,
        "residency-decisions": 4,
        "statements": 10,
        "versions": 1,
    }
    assert counts["jobs"] == 7


def test_every_page_gives_query_digests_count_and_the_range_of_the_ledger(
    files: dict[str, bytes], said: Manifest
) -> None:
    for one in populations.ALL:
        told = json.loads(files[f"populations/{one.name}.json"])
        data = files[f"populations/{one.name}.csv"]

        assert told["query_sha256"] == Digest.of(told["query"].encode()).hex
        assert told["csv_sha256"] == Digest.of(data).hex
        assert told["rows"] == len(sheets.read(data))
        assert told["ledger"]["size"] == said.ledger.size
        assert (told["ledger"]["first"], told["ledger"]["last"]) == (0, said.ledger.size - 1)


def test_a_query_can_be_run_again_and_gives_the_same_rows(files: dict[str, bytes], exported: Exported) -> None:
    """As another reviewer would: the text of the page, with the values that it names."""
    said = Manifest.loads(files[manifest.MANIFEST])
    told = json.loads(files["populations/refusals.json"])
    values = {"refs": list(said.scope), "namespace": "oncology", "size": told["parameters"]["size"]}
    with psycopg.connect(exported.world.url()) as connection:
        again = connection.execute(sheets.placeholders(told["query"]).encode(), values).fetchall()

    assert [str(row[0]) for row in again] == [row["ledger_index"] for row in rows(files, "refusals")]


def test_residency_decisions_name_rule_basis_and_certainty_allowed_or_refused(files: dict[str, bytes]) -> None:
    found = [(row["movement"], row["to_zone"], row["is_allowed"]) for row in rows(files, "residency-decisions")]

    assert found == [
        ("place", "ae-health", "true"),
        ("deploy", "ext-de", "false"),
        ("download", "ext-de", "false"),
        ("deploy", "ae-health", "true"),
    ]
    for row in rows(files, "residency-decisions"):
        assert row["rule"]
        assert row["legal_basis"]
        assert row["certainty"] in "VSIRU"


def test_no_cell_is_a_formula_and_every_cell_can_be_read_back(files: dict[str, bytes]) -> None:
    for one in populations.ALL:
        for line in csv.reader(io.StringIO(files[f"populations/{one.name}.csv"].decode(), newline="")):
            assert not [cell for cell in line if cell[:1] in tuple("=+-@\t\r")]

    assert next(row["comment"] for row in rows(files, "approvals")) == FORMULA
    assert f'"\'{FORMULA.replace(chr(34), chr(34) * 2)}"' in files["populations/approvals.csv"].decode()


def test_people_are_references_and_nobody_is_named(files: dict[str, bytes]) -> None:
    assert {row["resource"] for row in rows(files, "people")} <= {f"person:{one.ref}" for one in EVERYBODY}
    for name, data in files.items():
        for one in EVERYBODY:
            assert f'"{one.name}"'.encode() not in data, name
            assert f">{one.name}<".encode() not in data, name


# --- the report ---


class Page(HTMLParser):
    """Collects tags, their attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report(files: dict[str, bytes]) -> Page:
    return Page(files[manifest.REPORT].decode())


def test_the_report_runs_nothing_and_loads_nothing(report: Page) -> None:
    attributes = [(tag, name, value or "") for tag, found in report.tags for name, value in found.items()]

    assert not {tag for tag, _ in report.tags} & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    assert not [one for one in attributes if one[1].startswith("on") or one[1] in ("src", "style", "action", "srcset")]
    assert [value for _, name, value in attributes if name == "href" and not value.startswith("#")] == []
    assert "<script>alert(1)</script>" in report.text  # what somebody wrote, as text


def test_the_report_stands_in_both_languages(report: Page) -> None:
    parts = [found for tag, found in report.tags if tag == "main"]

    assert [(one["lang"], one["dir"]) for one in parts] == [("en", "ltr"), ("ar", "rtl")]
    assert "Who approved what" in report.text
    assert "من وافق وعلى ماذا" in report.text
    assert ARABIC in report.text
    assert report.text.count("Federal Law 2/2019 Art 13") >= 4


def test_the_lineage_is_drawn_and_told_as_a_table(files: dict[str, bytes]) -> None:
    page = files[manifest.REPORT].decode()
    drawings = re.findall(r'<svg class="graph".*?</svg>', page, re.DOTALL)

    assert len(drawings) == 2
    for one in drawings:
        names = {
            text.text
            for text in ET.fromstring(one).iter(  # noqa: S314 - our own drawing
                "{http://www.w3.org/2000/svg}text"
            )
        }
        assert {"oncology/malignancy@1", "oncology/wdbc@1", "oncology/cell-shape@1"} <= names
    for ref in ("features:oncology/cell-shape@1", "dataset:oncology/wdbc@1"):
        assert page.count(f">{ref}<") >= 2


# --- who may, and when ---


def test_the_export_is_recorded_with_the_digest_of_its_manifest(exported: Exported, files: dict[str, bytes]) -> None:
    entries = good(exported.world.as_(ADEL).get("/v1/ledger/entries?kind=engagement.exported"))["items"]
    payload = entries[-1]["body"]["payload"]

    assert payload["subject"] == REF
    assert payload["manifest"] == str(Digest.of(files[manifest.MANIFEST]))
    assert entries[-1]["actor"] == ADEL.ref


def test_only_an_auditor_exports_and_the_refusal_is_recorded(approved: World) -> None:
    approved.as_(SAMI).get("/v1/whoami")
    approved.as_(MONA).get("/v1/whoami")
    approved.sequence()
    approved.told()
    problem(approved.as_(SAMI).post(PATH), 403, "forbidden")

    assert [event["payload"]["action"] for event in approved.refusals()] == ["engagement.export"]
    problem(approved.nobody().post(PATH), 401)


def test_what_is_not_there_is_not_exported(approved: World) -> None:
    meet_the_auditor(approved)

    problem(approved.as_(ADEL).post(PATH.replace("number=1", "number=7")), 404)
    problem(approved.as_(ADEL).post(PATH.replace("malignancy", "../etc")), 422)


def test_a_ledger_that_lags_holds_the_export_back(approved: World) -> None:
    meet_the_auditor(approved)
    good(approved.as_(SAMI).post(f"{VERSION}/promotions", {"to": "production", "because": "ready"}))
    desk = approved_desk(approved)

    with (
        pytest.raises(Unavailable, match="lags"),
        approved.parts.ledger.transaction(ADEL.actor, is_snapshot=True) as tx,
    ):
        engagements.export(tx, "oncology/malignancy@1", desk=desk)
    approved.sequence()
    with approved.parts.ledger.transaction(ADEL.actor, is_snapshot=True) as tx:
        assert b"".join(engagements.export(tx, "oncology/malignancy@1", desk=desk).chunks())[:2] == b"PK"


def test_a_lagging_ledger_is_waited_for(approved: World) -> None:
    meet_the_auditor(approved)
    good(approved.as_(SAMI).post(f"{VERSION}/promotions", {"to": "production", "because": "ready"}))

    with pytest.raises(Unavailable):
        approved.parts.ledger.settle(timeout_s=0.1)
    approved.sequence()
    approved.parts.ledger.settle(timeout_s=0.1)


def test_a_snapshot_does_not_see_what_others_commit(approved: World) -> None:
    meet_the_auditor(approved)
    with approved.parts.ledger.transaction(ADEL.actor, is_snapshot=True) as tx:
        before = tx.connection().execute("SELECT count(*) FROM ledger_entries").fetchone()
        good(approved.as_(SAMI).post(f"{VERSION}/promotions", {"to": "production", "because": "ready"}))
        approved.sequence()

        assert tx.connection().execute("SELECT count(*) FROM ledger_entries").fetchone() == before


def test_a_later_bundle_tells_of_the_earlier_export(exported: Exported, tmp_path: Path) -> None:
    export_to(exported.world, tmp_path / "later.zip")
    with archive.opened(tmp_path / "later.zip") as bundle:
        earlier = sheets.read(bundle.read("populations/exports.csv"))

    with archive.opened(exported.path) as bundle:
        assert earlier[0]["manifest"] == str(Digest.of(bundle.read(manifest.MANIFEST)))


def approved_desk(world: World) -> engagements.Desk:
    """Return the desk of the world's application."""
    desk: engagements.Desk = app.create(world.parts).state.parts[engagements.Desk]
    return desk
