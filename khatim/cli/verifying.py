# SPDX-License-Identifier: Apache-2.0
"""``khatim verify``: what holds and what does not, why, what to do, and whom each claim rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from khatim.cli import output
from khatim.cli.connection import Data, Server, Token, open_client
from khatim.cli.demands import Tsa
from khatim.cli.output import Json
from khatim.errors import Malformed
from khatim.vocabulary import Basis, Digest

RootOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Whom to believe; by default what comes with what is verified."),
]
VkeyOption = Annotated[str, typer.Option("--vkey", help="The ledger's verifier key, as you know it.")]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="A checkpoint that you saw before: an older ledger is refused."),
]
ListOption = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="A newer signed list than the file's: khatim revocations --signed FILE."
    ),
]
WitnessOption = Annotated[
    list[str], typer.Option("--witness", help="Verifier key of a witness that you trust; may be repeated.")
]
QuorumOption = Annotated[int, typer.Option("--quorum", min=1, help="How many witnesses must have cosigned.")]


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    target: Annotated[
        str,
        typer.Argument(help="namespace/name@number, or the zip file of an engagement.", metavar="PATH|FILE"),
    ],
    trusted_root: RootOption = None,
    at: Annotated[str, typer.Option("--at", help="Ask about this moment, as 2026-01-31T12:00:00Z.")] = "",
    known_list: Annotated[
        int, typer.Option("--known-list", min=0, help="The number of a list of revocations that you saw before.")
    ] = 0,
    vkey: VkeyOption = "",
    checkpoint: CheckpointOption = None,
    revocations: ListOption = None,
    witness: WitnessOption = [],
    quorum: QuorumOption = 1,
    tsa: Tsa = [],
    *,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Fail as well when an approval does not count, something fell since, or a --witness is missing.",
        ),
    ] = False,
    as_json: Json = False,
    server: Server = "",
    token: Token = "",
    data: Data = Path(".khatim"),
) -> None:
    """Verify a version from model to raw file, or an engagement offline; say why something fails and what to do."""
    if Path(target).is_file():
        show_file(
            Path(target), trusted_root, vkey, checkpoint, revocations, witness, quorum, tsa,
            as_json=as_json, strict=strict,
        )  # fmt: skip
        return
    from khatim.cli.judging import judge
    from khatim.cli.verdicts import judgement_as_json, show_judgement
    from khatim.cli.witnessing import circumstances_of

    with open_client(server, token, data) as client:
        dossier = client.versions.dossier(target)
        around = circumstances_of(client, dossier, vkey, witness, quorum)
    root, told = root_of(trusted_root, dossier.trusted_root)
    now = datetime.now(UTC)
    found = judge(dossier, root, at=output.moment_of(at) if at else now, now=now, known=known_list, around=around)
    if as_json:
        output.dump(judgement_as_json(found, root=told))
    else:
        show_judgement(output.console(), found, root=told)
    counts = bool(found.consents) and all(one.counts for one in found.consents) and not found.fallen
    seen = not witness or all(Basis.WITNESSED in one.bases for node in found.stations for one in node.statements)
    if found.faults or (strict and not (counts and seen)):
        raise typer.Exit(1)


def show_file(
    file: Path,
    trusted_root: Path | None,
    vkey: str,
    checkpoint: Path | None,
    revocations: Path | None,
    witness: list[str],
    quorum: int,
    tsa: list[Path],
    *,
    as_json: bool,
    strict: bool,
) -> None:
    """Verify an engagement and print it; with *strict*, fail when a statement does not hold now or lacks witnesses."""
    from governance.reports import bundle
    from khatim.cli.verdicts import show_engagement

    report = bundle.verify_bundle_file(
        file,
        trusted_root=trusted_root,
        vkey=vkey or None,
        checkpoint=checkpoint,
        revocations=revocations,
        witnesses=witness,
        quorum=quorum,
        tsa=tsa,
    )
    if as_json:
        output.dump(output.plain(report))
    else:
        show_engagement(output.console(), report)
    seen = not witness or all(Basis.WITNESSED in one.rests_on for one in report.statements_found)
    if strict and not (seen and all(one.now_holds for one in report.statements_found)):
        raise typer.Exit(1)


def root_of(file: Path | None, handed_out: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the trusted root to use, and a sentence that says which it is; raises `Malformed` for no JSON.

    Its digest is that of the file, the same that an engagement's verification tells.
    """
    from registry.signing.trust import dumps

    try:
        text = file.read_text(encoding="utf-8") if file else dumps(handed_out)
        root = json.loads(text)
    except (OSError, ValueError) as error:
        raise Malformed(f"{file} is not a trusted root: {error}") from error
    source = f"of the file {file}" if file else "handed out by the registry itself (--trusted-root pins your own)"
    return root, f"{source}, {Digest.of(text.encode())}"
