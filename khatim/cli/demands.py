# SPDX-License-Identifier: Apache-2.0
"""Options that say what a ledger must show before it is believed: its key, witnesses, clocks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.errors import Malformed

if TYPE_CHECKING:
    from audit.witness_policy import WitnessPolicy

Witnesses = Annotated[
    list[str], typer.Option("--witness", help="A witness's verifier key; may be repeated.", metavar="VKEY")
]
Quorum = Annotated[int, typer.Option("--quorum", min=0, help="How many of them must have cosigned.")]
Policy = Annotated[
    Path | None,
    typer.Option("--policy", exists=True, dir_okay=False, help="Witnesses and quorum as a file (C2SP tlog-policy)."),
]
Vkey = Annotated[str, typer.Option("--vkey", help="The ledger's verifier key, as you got it beforehand.")]
Tsa = Annotated[
    list[Path],
    typer.Option(
        "--tsa", exists=True, dir_okay=False, metavar="PEM",
        help="Certificates of a timestamp authority outside: its own first, its root last; may be repeated.",
    ),
]  # fmt: skip


def policy_of(witness: list[str], quorum: int, file: Path | None) -> WitnessPolicy:
    """Return the policy of witnesses that the options name; raises `Malformed`."""
    from audit.witness_policy import WitnessPolicy

    if file is None:
        return WitnessPolicy.of_keys([(one, "") for one in witness], quorum if witness else 0)
    if witness:
        raise Malformed("give --policy or --witness, not both")
    return WitnessPolicy.parse(file.read_text(encoding="utf-8", errors="surrogateescape"))
