# SPDX-License-Identifier: Apache-2.0
"""Statements: written canonically, read strictly."""

from __future__ import annotations

import itertools
import json
import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khatim.errors import Malformed
from khatim.vocabulary import Digest
from registry.signing import predicates, statements

names = st.text(string.ascii_letters + string.digits + "/._-é", min_size=1, max_size=40)
digests = st.binary(max_size=8).map(Digest.of)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    subjects=st.lists(st.tuples(names, digests), min_size=1, max_size=5, unique=True),
    predicate=st.dictionaries(st.text(max_size=8), values, max_size=4),
)
def test_what_is_written_is_read_back(subjects: list[tuple[str, Digest]], predicate: dict[str, Any]) -> None:
    written = statements.statement(subjects, statements.TEST_RESULT, predicate)
    read = statements.parse(written)

    assert (list(read.subjects), read.predicate, read.payload) == (subjects, predicate, written)


@given(st.dictionaries(st.text(max_size=8), values, max_size=6))
def test_the_same_claim_has_the_same_bytes(predicate: dict[str, Any]) -> None:
    subject = [("x", Digest.of(b"x"))]
    backwards = dict(reversed(predicate.items()))

    assert statements.statement(subject, "t", predicate) == statements.statement(subject, "t", backwards)


def body(**changes: Any) -> bytes:
    whole = {
        "_type": statements.STATEMENT_TYPE,
        "subject": [{"name": "x", "digest": {"sha256": "0" * 64}}],
        "predicateType": "t",
        "predicate": {},
    }
    return json.dumps({**whole, **changes}).encode()


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b" " * 4_194_305, "over 4194304 bytes"),
        (b'{"_type": 1, "_type": 2}', "key twice"),
        (b'{"_type": NaN}', "NaN"),
        (body(more=1), "'more'"),
        (body(_type="https://in-toto.io/Statement/v0.1"), "Statement/v1"),
        (body(subject=[]), "subjects"),
        (body(subject=[{"name": "", "digest": {"sha256": "0" * 64}}]), "name of a subject"),
        (body(subject=[{"name": "x", "digest": {"sha1": "0" * 40}}]), "no sha256"),
        (body(subject=[{"name": "x", "digest": {"sha256": "A" * 64}}]), "lower-case"),
        (body(subject=[{"name": "x", "digest": {"sha256": "0" * 64}}] * 2), "twice"),
        (body(predicate=[]), "predicate is not an object"),
        (body(predicateType=""), "predicate type"),
    ],
    ids=itertools.count(),
)
def test_a_statement_in_another_shape_is_refused_by_name(payload: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        statements.parse(payload)


def test_a_statement_without_subjects_cannot_be_written() -> None:
    with pytest.raises(Malformed, match="1 to"):
        statements.statement([], "t", {})


def test_the_signed_encoding_is_that_of_the_specification() -> None:
    """The example of the DSSE specification, protocol.md."""
    assert statements.pae(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_provenance_is_known_by_its_build_type() -> None:
    moment = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
    run = predicates.Run("https://khatim.dev/runner", "job-1", moment, moment)
    code = predicates.descriptor("code", Digest.of(b"code"), uri="git+https://example.test/code")
    predicate = predicates.provenance(statements.TRAINING, {"budget": 1}, [code], run)
    read = statements.parse(statements.statement([("m", Digest.of(b"m"))], statements.SLSA_PROVENANCE, predicate))

    assert read.kind == statements.TRAINING
    assert read.predicate["buildDefinition"]["resolvedDependencies"][0]["digest"] == {"sha256": Digest.of(b"code").hex}
    assert read.predicate["runDetails"]["metadata"]["startedOn"] == "2026-11-23T02:30:00Z"


@pytest.mark.parametrize(
    ("tests", "result"), [({}, "PASSED"), ({"warned": ["w"]}, "WARNED"), ({"warned": ["w"], "failed": ["f"]}, "FAILED")]
)
def test_the_outcome_is_that_of_the_worst_test(tests: dict[str, list[str]], result: str) -> None:
    assert predicates.outcome([], passed=["p"], **tests)["result"] == result


def result(**changes: Any) -> dict[str, Any]:
    descriptor = predicates.descriptor("data", Digest.of(b"data"))
    return {**predicates.outcome([descriptor], passed=["p"], warned=["w"], failed=["f"]), **changes}


def made(**changes: Any) -> dict[str, Any]:
    """Return a provenance with members changed by their path (``runDetails__builder``); None takes one away."""
    moment = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
    run = predicates.Run("https://khatim.dev/runner", "job-1", moment, moment)
    parent = predicates.descriptor("data", Digest.of(b"data"))
    body = predicates.provenance(statements.TRAINING, {}, [parent], run, [parent])
    for path, value in changes.items():
        *way, last = path.split("__")
        holder = body
        for key in way:
            holder = holder[key]
        if value is None:
            del holder[last]
        else:
            holder[last] = value
    return body


def test_what_is_built_is_read() -> None:
    predicates.check(statements.TEST_RESULT, result())
    predicates.check(statements.TEST_RESULT, {"result": "FAILED", "configuration": []})
    predicates.check(statements.TEST_RESULT, result(metrics={"roc_auc": 0.99}))
    predicates.check(statements.SLSA_PROVENANCE, made())
    predicates.check(statements.SLSA_PROVENANCE, made(runDetails__metadata=None, runDetails__byproducts=None))
    predicates.check(statements.APPROVAL, {"anything": "is left to whoever reads approvals"})


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        (result(result="PASSED"), "worst of its tests FAILED"),
        (result(failedTests=[], result="PASSED"), "worst of its tests WARNED"),
        (result(result="GREEN"), "'GREEN'"),
        (result(failedTests="f"), "not a list of names"),
        (result(passedTests=[1]), "not a list of names"),
        ({"result": "PASSED"}, "no configuration"),
        (result(configuration={}), "not stand in a list"),
        (result(configuration=[{"name": "x"}]), "neither uri nor digest"),
        (result(configuration=[{"digest": {"sha256": 1}}]), "not a set of digests"),
        (result(configuration=[{"uri": "x", "sha256": "0"}]), "'sha256'"),
    ],
    ids=itertools.count(),
)
def test_a_test_result_that_contradicts_itself_or_its_form_is_refused(predicate: dict[str, Any], said: str) -> None:
    with pytest.raises(Malformed, match=said):
        predicates.check(statements.TEST_RESULT, predicate)


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        (made(runDetails=None), "no runDetails"),
        (made(more={}), "'more'"),
        (made(buildDefinition__externalParameters=[]), "not an object"),
        (made(buildDefinition__buildType=""), "build type"),
        (made(buildDefinition__resolvedDependencies={}), "not stand in a list"),
        (made(buildDefinition__resolvedDependencies=[{"name": "x"}]), "neither uri nor digest"),
        (made(runDetails__builder={}), "no id"),
        (made(runDetails__metadata={"finished": "x"}), "'finished'"),
        (made(runDetails__byproducts=[1]), "by-product is not an object"),
    ],
    ids=itertools.count(),
)
def test_a_provenance_in_another_form_is_refused(predicate: dict[str, Any], said: str) -> None:
    with pytest.raises(Malformed, match=said):
        predicates.check(statements.SLSA_PROVENANCE, predicate)
