# SPDX-License-Identifier: Apache-2.0
"""Signed statements as files: what they are called in a bundle, so that people find one and no two share a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.reports.manifest import ATTESTATIONS
from registry.signing import bundle as bundles
from registry.signing import statements

SUFFIX = ".sigstore.json"
_WORDS = {
    statements.DATASET_SNAPSHOT: "dataset-snapshot",
    statements.FEATURE_MATERIALIZATION: "feature-materialization",
    statements.TRAINING: "training",
    statements.OMS_SIGNATURE: "model-signature",
    statements.TEST_RESULT: "test-result",
    statements.APPROVAL: "approval",
    statements.SELF_ATTESTATION: "self-attestation",
    statements.WAIVER: "waiver",
    statements.ASSIGNMENT: "role assignment",
    statements.POLICY: "policy change",
    statements.DEPLOYMENT: "deployment",
}
_ABOUT_MAX = 80


@dataclass(frozen=True, slots=True)
class Attestation:
    """A statement of the bundle: the name of its file, what sort it is, its bundle, and its row of the population.

    *bases* are codes of whom it rests on, *stands* whether it held at the export.
    """

    file: str
    word: str
    bundle: str
    record: Mapping[str, Any]
    bases: tuple[str, ...] = ()
    stands: bool = True


def named(
    records: Sequence[Mapping[str, Any]],
    texts: Mapping[str, str],
    words: Mapping[str, str],
    rests: Callable[[str], tuple[tuple[str, ...], bool]],
) -> tuple[Attestation, ...]:
    """Name the statements of a population in its order: ``attestations/003-training-oncology-malignancy-1…``.

    *texts* are the bundles by id; *words* says by digest what sort of test result or approval a statement is; *rests*
    says of a bundle whom it rests on and whether it stands.
    """
    width = max(3, len(str(len(records))))
    found = []
    for number, record in enumerate(records, 1):
        text = texts[str(record["id"])]
        kind = statements.parse(bundles.parse(text).payload).kind
        word = words.get(str(record["digest"])) or _WORDS.get(kind, "statement")
        about = re.sub(r"[^a-z0-9]+", "-", str(record["resource"]).partition(":")[2].lower()).strip("-")[:_ABOUT_MAX]
        file = f"{ATTESTATIONS}{number:0{width}d}-{word}-{about}{SUFFIX}"
        found.append(Attestation(file, word, text, record, *rests(text)))
    return tuple(found)
