# SPDX-License-Identifier: Apache-2.0
"""The standard predicates, built in the shape their specifications give: SLSA provenance v1, test result v0.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from khatim.vocabulary import Digest
from registry.signing.encoding import rfc3339


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
