# SPDX-License-Identifier: Apache-2.0
"""Steps 11 and 12: an auditor verifies the version, the ledger and the engagement, and a changed copy fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from khatim.cli import ledger, verdicts, verifying
from khatim.cli.judging import judge
from khatim.cli.story.people import AUDITOR
from khatim.cli.story.world import World
from khatim.errors import VerificationFailed

WIDTH = 160


def verify_version(world: World) -> None:
    """Step 11: every signature, digest and binding from the model to the raw file."""
    with world.moment(11, AUDITOR, "khatim verify: from the model to the raw file") as now:
        dossier = world.as_(AUDITOR).versions.dossier(world.version)
        root, told = verifying.root_of(None, dossier.trusted_root)
        found = judge(dossier, root, at=datetime.now(UTC))
        with written(world.out / "verify.txt") as page:
            verdicts.show_judgement(page, found, root=told)
        if found.faults:
            raise VerificationFailed("; ".join(f"{one.about}: {one.why}" for one in found.faults))
        signed = sum(len(one.statements) for one in found.stations)
        now.result = f"{signed} signed statements hold on the way {' ← '.join(one.node.ref for one in found.stations)}"


def verify_ledger(world: World) -> None:
    """Step 12, first part: chain, tree and checkpoint derived again from the entries."""
    with world.moment(12, AUDITOR, "khatim ledger verify: chain, tree, checkpoint") as now:
        report, key, source = ledger.verified_ledger(world.as_(AUDITOR))
        with written(world.out / "ledger.txt") as page:
            verdicts.show_ledger(page, report, vkey=key, source=source)
        refusals = sum(count for kind, count in report.kinds.items() if kind.endswith(".refused"))
        now.result = f"{report.size} entries, {refusals} of them refusals; root {report.root.hex()[:16]}…"


def export(world: World) -> None:
    """Step 12, second part: the engagement, which verifies without a server, and a copy that does not."""
    from governance.reports import bundle

    engagement = world.out / "engagement.zip"
    with world.moment(12, AUDITOR, "exports the engagement") as now:
        world.as_(AUDITOR).engagements.export(world.version, engagement)
        now.result = f"{engagement.name}: {engagement.stat().st_size:,} bytes"
    with world.moment(12, AUDITOR, "verifies it without a server") as now:
        report = bundle.verify_bundle_file(engagement)
        now.result = (
            f"{report.files} files, {report.statements} signed statements, {report.ledger.size} entries of the ledger: "
            f"every byte holds; signed by {report.identity}"
        )
    with world.moment(12, AUDITOR, "changes one byte of a copy") as now:
        copy = with_one_byte_changed(engagement, world.scratch / "changed.zip")
        try:
            bundle.verify_bundle_file(copy)
        except VerificationFailed as error:
            place = error.members.get("place", "")
            if not place:
                raise VerificationFailed(f"the place of the change was not named: {error.detail}") from error
            now.is_refusal = True
            now.result = f"does not verify: {error.detail} (place: {place})"
        else:
            raise VerificationFailed("a copy with one byte changed still verifies")


def with_one_byte_changed(file: Path, to: Path) -> Path:
    """Write a copy of *file* whose byte in the middle is another one."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x01
    to.write_bytes(data)
    return to


@contextmanager
def written(to: Path) -> Iterator[Console]:
    """Yield a console that writes plain text into the file *to*."""
    with to.open("w", encoding="utf-8") as file:
        yield Console(file=file, width=WIDTH, highlight=False, no_color=True)
