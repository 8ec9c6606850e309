# SPDX-License-Identifier: Apache-2.0
"""The story of one model told to its end, with refusals, drift and hostile words, and the bundle about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from audit import export
from governance.reports import archive, manifest
from governance.reports.archive import Draft
from governance.reports.manifest import Listed, Manifest
from khatim.vocabulary import JobKind, Role
from registry.signing import statements
from registry.signing.trust import dumps
from tests.support.http import good
from tests.support.people import ADEL, APPROVERS, PAVEL, SAMI, VERA
from tests.support.world import MODEL, VERSION, ZONE, World

PATH = "/v1/engagements?namespace=oncology&name=malignancy&number=1"
FORMULA = '=HYPERLINK("https://evil.example","click")'
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"
ARABIC = "رُوجعت الأدلة"


def tell(world: World) -> None:
    """Tell the story from an evaluated version to a suspended endpoint."""
    sami, pavel = world.as_(SAMI), world.as_(PAVEL)
    assert sami.post(f"{VERSION}/promotions", {"to": "production", "because": "ready"}).status_code == 403
    own = {"role": Role.VALIDATOR.value, "meaning": "I like it"}
    assert world.as_(SAMI.also(Role.VALIDATOR)).post(f"{VERSION}/approvals", own).status_code == 403
    for (approver, role), comment in zip(APPROVERS, (FORMULA, MARKUP, ARABIC), strict=True):
        body = {"role": role.value, "meaning": f"@approved {MARKUP}", "comment": comment}
        good(world.as_(approver).post(f"{VERSION}/approvals", body))
    world.promote()
    assert pavel.post("/v1/deployments", {"version": f"{MODEL}@1", "zone": "ext-de"}).status_code == 403
    model = good(sami.get(VERSION))["files"][0]["digest"]
    assert sami.post("/v1/downloads", {"zone": ZONE, "digest": model, "to_zone": "ext-de"}).status_code == 403
    deployment = world.deploy()
    good(pavel.post(f"/v1/deployments/{deployment}/monitor-runs"))
    world.agent.do(JobKind.MONITOR, results=[{"engine": "scipy", "is_drift": True, "drifted": ["mean_radius"]}])
    good(world.as_(VERA).get("/v1/whoami"))
    meet_the_auditor(world)


def meet_the_auditor(world: World) -> None:
    """Let the auditor sign in, and everything said so far take its place in the ledger."""
    good(world.as_(ADEL).get("/v1/whoami"))
    world.sequence()


def export_to(world: World, to: Path) -> httpx.Response:
    """Export as the auditor, through the front door."""
    answer = world.as_(ADEL).post(PATH)
    assert answer.status_code == 201, answer.text
    to.write_bytes(answer.content)
    world.sequence()
    return answer


@dataclass(frozen=True)
class Exported:
    """A bundle as an auditor has it, and what they know besides."""

    path: Path
    root: Path
    vkey: str
    checkpoint: Path
    headers: Mapping[str, str]
    world: World

    def forged(
        self,
        to: Path,
        change: Callable[[dict[str, bytes]], object] = lambda _: None,
        *,
        signed: bool = True,
        by: str = "",
        **said_instead: Any,
    ) -> Path:
        """Write a bundle as a dishonest registry would: *change* the files, write a new manifest, and sign it."""
        with archive.opened(self.path) as bundle:
            files = {name: bundle.read(name) for name in bundle.members}
        said = Manifest.loads(files.pop(manifest.MANIFEST))
        old = files.pop(manifest.SIGNATURE)
        change(files)
        notary = self.world.parts.notary
        with Draft() as draft:
            listed = {name: Listed(draft.add(name, data), len(data)) for name, data in files.items()}
            new = replace(said, **{"files": listed, **said_instead})
            digest = draft.add(manifest.MANIFEST, new.dumps())
            statement = statements.statement([(manifest.MANIFEST, digest)], statements.ENGAGEMENT, new.predicate())
            pen = notary.signer_for(by or notary.service())
            draft.add(manifest.SIGNATURE, pen.sign(statement).encode() if signed else old)
            with draft.write() as file:
                to.write_bytes(file.read())
        return to


def take_home(world: World, folder: Path) -> Exported:
    """Tell the story, note the checkpoint, export."""
    tell(world)
    parts = world.parts
    with parts.ledger.reading(ADEL.actor) as reader:
        note = export.latest_note(reader.connection())
    checkpoint, root, path = folder / "checkpoint", folder / "root.json", folder / "engagement.zip"
    checkpoint.write_text(note)
    root.write_text(dumps(parts.notary.trusted_root))
    answer = export_to(world, path)
    with archive.opened(path) as bundle:
        vkey = bundle.read(manifest.VKEY).decode().strip()
    return Exported(path, root, vkey, checkpoint, answer.headers, world)
