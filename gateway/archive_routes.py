# SPDX-License-Identifier: Apache-2.0
"""HTTP routes of the ledger's archives: which entries lie in which file."""

from __future__ import annotations

from fastapi import APIRouter

from audit.http import Read, SealedRoute
from governance import archiving
from khatim.wire import answers, proofs

router = APIRouter(prefix="/v1", tags=["ledger"], route_class=SealedRoute)


@router.get("/ledger/archives")
def list_archives(reader: Read) -> answers.Page[proofs.Archive]:
    """List the archives of the ledger, oldest entries first, and whether their rows are still in the database."""
    found = archiving.listed(reader)
    online = archiving.online(reader, found)
    return answers.Page(
        items=[
            proofs.Archive(
                first=one.first, end=one.end, place=one.place, digest=one.digest, link=one.link.hex(), size=one.size,
                root=one.root.hex(), online=one.first in online,
            )
            for one in found
        ]
    )  # fmt: skip
