# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of what is registered: read it, register versions, move aliases, ask for tickets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from audit.http import Read, SealedRoute, Tx, part
from khatim.wire import answers, proofs, requests
from khatim.wire import revocations as wire_revocations
from khatim.wire import transfers as wire_transfers
from policies.loading import PolicyBundle
from registry import dossiers, identified, queries, revocations, timeline, transfers, versions
from registry.notary import Notary
from registry.tables import DatasetVersion, FeatureViewVersion, ModelVersion
from registry.transfer_tables import Transfer

Rules = Annotated[PolicyBundle, Depends(part(PolicyBundle))]
Pen = Annotated[Notary, Depends(part(Notary))]
Cursor = Annotated[str, Query(max_length=1000)]
Limit = Annotated[int, Query(ge=1, le=queries.PAGE_LIMIT)]

router = APIRouter(prefix="/v1", tags=["registry"], route_class=SealedRoute)


@router.get("/datasets")
def datasets(reader: Read, cursor: Cursor = "", limit: Limit = 50) -> answers.Page[answers.DatasetVersion]:
    """List dataset versions by name."""
    rows, following = queries.numbered_page(reader, DatasetVersion, cursor=cursor, limit=limit)
    return answers.Page(items=[answers.DatasetVersion.model_validate(row) for row in rows], next=following)


@router.get("/datasets/{namespace}/{name}/versions/{number}")
def dataset(reader: Read, namespace: str, name: str, number: int) -> answers.DatasetVersion:
    """Return one dataset version."""
    row = queries.numbered(reader, DatasetVersion, f"{namespace}/{name}@{number}")
    return answers.DatasetVersion.model_validate(row)


@router.get("/features")
def features(reader: Read, cursor: Cursor = "", limit: Limit = 50) -> answers.Page[answers.FeatureViewVersion]:
    """List feature view versions by name."""
    rows, following = queries.numbered_page(reader, FeatureViewVersion, cursor=cursor, limit=limit)
    return answers.Page(items=[answers.FeatureViewVersion.model_validate(row) for row in rows], next=following)


@router.get("/features/{namespace}/{name}/versions/{number}")
def feature_view(reader: Read, namespace: str, name: str, number: int) -> answers.FeatureViewVersion:
    """Return one feature view version."""
    row = queries.numbered(reader, FeatureViewVersion, f"{namespace}/{name}@{number}")
    return answers.FeatureViewVersion.model_validate(row)


@router.get("/revocations")
def list_revocations(reader: Read) -> answers.Page[wire_revocations.Revocation]:
    """List every revocation and lifting, oldest first."""
    return answers.Page(items=[wire_revocations.Revocation.model_validate(row) for row in revocations.listed(reader)])


@router.get("/revocations/list")
def signed_revocations(reader: Read, pen: Pen) -> wire_revocations.SignedList:
    """Return the list of revocations as the registry signs it, for whoever verifies offline."""
    rows = revocations.listed(reader)
    return wire_revocations.SignedList(number=len(rows), bundle=revocations.signed(reader, pen))


@router.post("/revocations/{name}/lifting", status_code=201)
def lift(tx: Tx, name: str, body: requests.Reason) -> wire_revocations.Revocation:
    """End a revocation from now on, as a second person."""
    return wire_revocations.Revocation.model_validate(revocations.lift(tx, name, because=body.because))


@router.get("/models")
def models(
    reader: Read, search: Annotated[str, Query(max_length=200)] = "", cursor: Cursor = "", limit: Limit = 50
) -> answers.Page[answers.Model]:
    """List registered models by name."""
    rows, following = queries.models(reader, search=search, cursor=cursor, limit=limit)
    return answers.Page(items=[answers.Model.model_validate(row) for row in rows], next=following)


@router.post("/models/{namespace}/{name}", status_code=201)
def create_model(tx: Tx, namespace: str, name: str, body: requests.CreateModel) -> answers.Model:
    """Create a registered model."""
    row = versions.create_model(tx, namespace, name, description=body.description, tier=body.tier)
    return answers.Model.model_validate(row)


@router.get("/models/{namespace}/{name}")
def model(reader: Read, namespace: str, name: str) -> answers.Model:
    """Return one registered model."""
    return answers.Model.model_validate(queries.model(reader, namespace, name))


@router.get("/models/{namespace}/{name}/versions")
def model_versions(reader: Read, namespace: str, name: str) -> answers.Page[answers.Version]:
    """List the versions of a model, newest first."""
    rows = queries.versions_of(reader, namespace, name)
    return answers.Page(items=[answers.Version.model_validate(row) for row in rows])


@router.get("/models/{namespace}/{name}/versions/{number}")
def version(reader: Read, namespace: str, name: str, number: int) -> answers.Version:
    """Return one model version."""
    return answers.Version.model_validate(queries.numbered(reader, ModelVersion, f"{namespace}/{name}@{number}"))


@router.get("/models/{namespace}/{name}/versions/{number}/lineage")
def lineage_of(reader: Read, namespace: str, name: str, number: int) -> answers.Page[proofs.Node]:
    """Return the lineage of a version: itself first, the raw files last, each with its signed statements."""
    row = queries.numbered(reader, ModelVersion, f"{namespace}/{name}@{number}")
    return answers.Page(items=dossiers.nodes_of(reader, row.ref))


@router.get("/models/{namespace}/{name}/aliases")
def aliases(reader: Read, namespace: str, name: str) -> answers.Page[answers.Alias]:
    """List the aliases of a model."""
    row = queries.model(reader, namespace, name)
    found = queries.aliases_of(reader, row.namespace, row.name)
    return answers.Page(items=[answers.Alias.model_validate(one) for one in found])


@router.get("/transfers")
def list_transfers(reader: Read, cursor: Cursor = "", limit: Limit = 50) -> answers.Page[wire_transfers.Transfer]:
    """List transfer authorisations, newest first."""
    rows, following = identified.page(reader, Transfer, cursor=cursor, limit=limit)
    return answers.Page(items=[wire_transfers.Transfer.model_validate(row) for row in rows], next=following)


@router.post("/namespaces/{namespace}/transfers", status_code=201)
def request_transfer(
    tx: Tx, rules: Rules, namespace: str, body: wire_transfers.TransferRequest
) -> wire_transfers.Transfer:
    """Ask for a transfer authorisation."""
    return wire_transfers.Transfer.model_validate(transfers.request(tx, namespace, body, rules=rules))


@router.post("/transfers/{name}/approval")
def approve_transfer(tx: Tx, rules: Rules, name: str, body: requests.Reason) -> wire_transfers.Transfer:
    """Approve a transfer authorisation."""
    return wire_transfers.Transfer.model_validate(transfers.approve(tx, name, because=body.because, rules=rules))


@router.post("/transfers/{name}/revocation")
def revoke_transfer(tx: Tx, name: str, body: requests.Reason) -> wire_transfers.Transfer:
    """Take a transfer authorisation back."""
    return wire_transfers.Transfer.model_validate(transfers.revoke(tx, name, because=body.because))


@router.post("/transfers/question")
def ask_transfer(reader: Read, rules: Rules, body: wire_transfers.TransferQuestion) -> wire_transfers.Rulings:
    """Say what the rules say to a movement, without moving anything."""
    return transfers.rulings(reader, body, rules)


@router.get("/artifacts/{digest}/placements")
def placements(reader: Read, digest: str) -> wire_transfers.Timeline:
    """Tell where copies of an artifact are and were, since when and on which basis."""
    return timeline.of(reader, digest)
