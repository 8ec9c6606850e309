# SPDX-License-Identifier: Apache-2.0
"""The dossier of a version: what a runner or an auditor needs to judge it without asking again."""

from __future__ import annotations

from audit import queries as ledger
from audit.events import plain
from audit.transaction import Reader
from governance import queries, self_attesting
from khatim.wire import answers, proofs
from registry import dossiers as registered_dossiers
from registry import queries as registered
from registry import revocations
from registry.notary import Notary
from registry.tables import ModelVersion


def dossier_of(reader: Reader, path: str, *, notary: Notary) -> proofs.Dossier:
    """Return the dossier of a version that the actor may read."""
    version = registered.numbered(reader, ModelVersion, path)
    deployments = queries.deployments_of(reader, version.ref)
    return proofs.Dossier(
        version=answers.Version.model_validate(version),
        nodes=registered_dossiers.nodes_of(reader, version.ref),
        approvals=[answers.Approval.model_validate(row) for row in queries.approvals_of(reader, version.ref)],
        attestations=[self_attesting.told(row) for row in queries.attestations_of(reader, version.ref)],
        evidence=[answers.Evidence.model_validate(row) for row in queries.evidence_of(reader, version.ref)],
        deployments=[answers.Deployment.model_validate(row) for row in deployments],
        decisions=[
            one.model_dump(mode="json")
            for one in ledger.about(reader, [version.ref, *(row.ref for row in deployments)])
        ],
        trusted_root=dict(notary.trusted_root),
        appointments=list(notary.trust.appointments),
        identities=plain(notary.policy().allowed),
        revocations=revocations.signed(reader, notary),
        at=reader.now,
    )
