# SPDX-License-Identifier: Apache-2.0
"""What is truly signed, and no verifier outside has a word against: the registry reads it before it admits it."""

from __future__ import annotations

import pytest

from khatim.errors import SignatureInvalid
from khatim.vocabulary import Digest
from registry.signing import predicates, statements
from tests.support.world import World

MODEL = Digest.of(b"model")
ABOUT = [predicates.descriptor("data", Digest.of(b"data"))]


def test_a_result_that_its_own_tests_contradict_is_not_admitted(enrolled: World) -> None:
    notary, agent = enrolled.parts.notary, enrolled.agent
    said = predicates.outcome(ABOUT, failed=["roc_auc >= 0.95"])
    true, false = (
        agent.attest(statements.TEST_RESULT, [("model", str(MODEL))], one)
        for one in (said, said | {"result": "PASSED"})
    )

    assert notary.check(true, statements.TEST_RESULT, [MODEL]).predicate["result"] == "FAILED"
    with pytest.raises(SignatureInvalid, match="although the worst of its tests FAILED"):
        notary.check(false, statements.TEST_RESULT, [MODEL])
