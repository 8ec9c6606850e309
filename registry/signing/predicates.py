# SPDX-License-Identifier: Apache-2.0
"""The standard predicates, built and read in the shape their specifications give: SLSA provenance v1, test result v0.1.

What comes in is checked against them (`check`): a result that its own tests contradict is no result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from khatim.errors import Malformed
from khatim.vocabulary import Digest
from registry.signing import statements
from registry.signing.encoding import members, rfc3339, text_of

_DESCRIPTOR = ("name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations")
_TESTS = ("passedTests", "warnedTests", "failedTests")


class Result(StrEnum):
    """The outcome of a test (in-toto test-result v0.1)."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a builder: who ran it, under which id, from when to when (SLSA v1 ``runDetails``)."""

    builder: str
    invocation: str
    started: datetime
    finished: datetime


def descriptor(name: str, digest: Digest, **more: Any) -> dict[str, Any]:
    """Return an in-toto ResourceDescriptor; *more* are further members (``uri``, ``mediaType``, ``annotations``)."""
    return {"name": name, "digest": {"sha256": digest.hex}, **more}


def provenance(
    build_type: str,
    parameters: Mapping[str, Any],
    dependencies: Sequence[Mapping[str, Any]],
    run: Run,
    byproducts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a SLSA provenance v1 predicate; *dependencies* and *byproducts* are descriptors."""
    return {
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": dict(parameters),
            "resolvedDependencies": [dict(one) for one in dependencies],
        },
        "runDetails": {
            "builder": {"id": run.builder},
            "metadata": {
                "invocationId": run.invocation,
                "startedOn": rfc3339(run.started),
                "finishedOn": rfc3339(run.finished),
            },
            "byproducts": [dict(one) for one in byproducts],
        },
    }


def outcome(
    configuration: Sequence[Mapping[str, Any]],
    *,
    passed: Sequence[str] = (),
    warned: Sequence[str] = (),
    failed: Sequence[str] = (),
) -> dict[str, Any]:
    """Return a test-result v0.1 predicate; *configuration* are descriptors (thresholds, data set).

    The result is the worst of the tests: FAILED if any failed, else WARNED if any warned.
    """
    result = Result.FAILED if failed else Result.WARNED if warned else Result.PASSED
    return {
        "result": result.value,
        "configuration": [dict(one) for one in configuration],
        "passedTests": list(passed),
        "warnedTests": list(warned),
        "failedTests": list(failed),
    }


def check(predicate_type: str, predicate: Mapping[str, Any]) -> None:
    """Check a predicate of a standard type against its specification; raises `Malformed` that names the member.

    Other types are checked by whoever reads them.
    """
    if predicate_type == statements.SLSA_PROVENANCE:
        _check_provenance(predicate)
    elif predicate_type == statements.TEST_RESULT:
        _check_outcome(predicate)


def _check_provenance(predicate: Mapping[str, Any]) -> None:
    body = members(predicate, ("buildDefinition", "runDetails"), (), "the provenance")
    definition = members(
        body["buildDefinition"],
        ("buildType", "externalParameters"),
        ("internalParameters", "resolvedDependencies"),
        "the build definition",
    )
    text_of(definition["buildType"], "the build type")
    if not isinstance(definition["externalParameters"], dict):
        raise Malformed("the external parameters are not an object")
    _check_descriptors(definition.get("resolvedDependencies", []), "a resolved dependency")
    details = members(body["runDetails"], ("builder",), ("metadata", "byproducts"), "the run")
    builder = members(details["builder"], ("id",), ("builderDependencies", "version"), "the builder")
    text_of(builder["id"], "the id of the builder")
    members(details.get("metadata", {}), (), ("invocationId", "startedOn", "finishedOn"), "the metadata of the run")
    _check_descriptors(details.get("byproducts", []), "a by-product")


def _check_outcome(predicate: Mapping[str, Any]) -> None:
    # in-toto lets a predicate grow, and an evaluation says its metrics here: further members are not ours to refuse.
    body = members(predicate, ("result", "configuration"), tuple(predicate), "the test result")
    _check_descriptors(body["configuration"], "a configuration")
    named = {key: body.get(key, []) for key in _TESTS}
    for key, tests in named.items():
        if not isinstance(tests, list) or not all(isinstance(test, str) and test for test in tests):
            raise Malformed(f"{key} is not a list of names")
    # Worse than its tests is no contradiction: an evaluation without a single test has failed.
    worst = Result.FAILED if named["failedTests"] else Result.WARNED if named["warnedTests"] else Result.PASSED
    ranked = [result.value for result in Result]
    if body["result"] not in ranked[ranked.index(worst.value) :]:
        raise Malformed(f"the result is {str(body['result'])[:20]!r}, although the worst of its tests {worst.value}")


def _check_descriptors(value: object, what: str) -> None:
    if not isinstance(value, list):
        raise Malformed(f"{what} does not stand in a list")
    for one in value:
        body = members(one, (), _DESCRIPTOR, what)
        if not any(key in body for key in ("uri", "digest", "content")):
            raise Malformed(f"{what} has neither uri nor digest nor content")
        digests = body.get("digest", {})
        if not isinstance(digests, dict) or not all(isinstance(hexed, str) and hexed for hexed in digests.values()):
            raise Malformed(f"the digest of {what} is not a set of digests")
