# SPDX-License-Identifier: Apache-2.0
"""What the commands of `khatim authority` have in common: whose authority, who asks, passphrases, the ledger."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from khatim.cli import output
from khatim.errors import KhatimError

if TYPE_CHECKING:
    from gateway.custody import Custody
    from registry.signing.keys import KeyStore
    from registry.signing.keys_unlock import Passphrase

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
HERE = Path(".khatim")


def custody(data: Path) -> Custody:
    """Return the authority of an installation, by its folder and the settings."""
    from gateway.custody import custody_of
    from gateway.instance import Instance
    from khatim import settings

    read = settings.load(data=data.resolve())
    instance = Instance(read.data)
    instance.prepare()
    return custody_of(read, instance)


def myself(held: Custody) -> str:
    """Return the opaque reference of whoever runs the command."""
    from gateway.instance import Instance

    return Instance(held.data).person_ref(getpass.getuser())


def asked(file: Path | None, what: str, *, new: bool = False) -> Passphrase:
    """Read a passphrase from *file*, or ask for it (twice, when it is a new one)."""
    from registry.signing.keys_unlock import Passphrase, passphrase_from

    if file is not None:
        return passphrase_from(file)
    return Passphrase(typer.prompt(what, hide_input=True, confirmation_prompt=new, err=True))


def root_of(folder: Path, file: Path | None, *, new: bool = False) -> KeyStore:
    """Open the offline root in *folder*; with *new* it is made when there is none."""
    from registry.signing.keys_sealed import SealedKeys

    unlock = asked(file, "Passphrase of the root", new=new)
    return SealedKeys.ensure(folder.resolve(), unlock) if new else SealedKeys(folder.resolve(), unlock)


def told(held: Custody) -> str:
    """Tell the ledger what the authority's history has new, if the database answers; say which it was."""
    from gateway import composition, policy_keeping, supervisor
    from registry import authority_history

    later = "the ledger will be told at the next start: it stands in the authority's history until then"
    if not held.settings.database.url and supervisor.state_of(held.data) is None:
        return later  # the embedded database runs with the server
    engine = composition.engine_for(composition.urls_of(held.settings).service)
    try:
        ledger = composition.ledger_of(held.settings, engine, policy_keeping.loaded(held.settings))
        return f"the ledger was told ({authority_history.tell(ledger, held.record)} new entries)"
    except KhatimError:
        return later
    finally:
        engine.dispose()


def done(held: Custody, sentence: str, body: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what was done, what it means for the ledger, and for the recovery test."""
    heard = told(held)
    if as_json:
        output.dump({**body, "ledger": heard})
        return
    output.say(f"{sentence}; {heard}.")
