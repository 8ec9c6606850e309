# SPDX-License-Identifier: Apache-2.0
"""``khatim authority backup``, ``recovery-test``, ``restore`` and ``reseal``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khatim.cli import authority_desk, output
from khatim.cli.output import Json
from khatim.cli.server import Data
from khatim.errors import Conflict, Malformed

if TYPE_CHECKING:
    from gateway.custody import Custody
    from registry.signing.recovery_kit import Opener

Kit = Annotated[Path, typer.Option("--kit", exists=True, dir_okay=False, help="The recovery kit.")]
Share = Annotated[
    list[str], typer.Option("--share", help="A share, its words in quotation marks, or @FILE; give as many as needed.")
]
Sealed = Annotated[Path | None, typer.Option("--sealed", help="A file with the kit's passphrase.")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (backup, recovery_test, restore, reseal):
        app.command(command.__name__.replace("_", "-"))(command)


def backup(
    to: Annotated[Path, typer.Option("--to", help="The kit to write: a file, or a folder that gets one.")],
    data: Data = authority_desk.HERE,
    shares: Annotated[int, typer.Option(help="How many shares open the kit (SLIP-39).")] = 0,
    threshold: Annotated[int, typer.Option(help="How many of them are needed.")] = 0,
    sealed: Sealed = None,
    *,
    as_json: Json = False,
) -> None:
    """Write a recovery kit: record, logs, keys of authority and installation, encrypted under a master secret.

    The secret is given as shares, each to be handed to another person, or the kit is sealed under a passphrase.
    """
    from registry.signing import recovery
    from registry.signing.recovery_kit import Shared, under

    if bool(shares) == bool(sealed) and shares:
        raise Malformed(
            "a kit is opened by shares or by a passphrase", advice="Give --shares and --threshold, or --sealed."
        )
    held, at = authority_desk.custody(data), datetime.now(UTC)
    shared = Shared(shares, threshold)
    lock = shared if shares else under(authority_desk.asked(sealed, "Passphrase of the kit", new=True))
    kit = to / f"khatim-{held.settings.instance}-{at:%Y%m%dT%H%M%SZ}.kit" if to.is_dir() else to
    header = recovery.backup(held.folder, held.keys(), held.extras, kit, lock, at, by=authority_desk.myself(held))
    stay = sorted(name for name, where in header.keys.items() if where == "token")
    if not as_json:
        for number, line in enumerate(shared.lines, 1):
            output.console().print(f"share {number} of {shares} ({threshold} open the kit):\n{line}\n", soft_wrap=True)
    body = {"kit": str(kit), "keys": dict(header.keys), "shares": shared.lines}
    left = f"; {', '.join(stay)} stay on their token" if stay else ""
    authority_desk.done(
        held, f"{kit} is written{left}; prove it: khatim authority recovery-test", body, as_json=as_json
    )


def recovery_test(
    kit: Kit, data: Data = authority_desk.HERE, share: Share = [], sealed: Sealed = None, *, as_json: Json = False
) -> None:
    """Restore a kit into a scratch folder, sign with it, verify that, compare the logs, and keep a signed proof."""
    from registry.signing import recovery, recovery_proof, rotation
    from registry.signing.encoding import rfc3339
    from registry.signing.record import Change

    held, at, who = authority_desk.custody(data), datetime.now(UTC), ""
    who = authority_desk.myself(held)
    live = held.open()
    try:
        with recovery.unpacked(kit, _opener(share, sealed), held.data / "run") as found:
            proof = recovery_proof.prove(found, kit, live, held.keys(), held.data, at, by=who)
    finally:
        live.close()
    recovery_proof.write(proof, held.proof)
    rotation.note(held.folder, Change("recovery_tested", rfc3339(at), who, details={"kit": proof.kit}))
    sentence = f"the kit works: its {len(proof.generations)} keys in use signed, and what they signed verifies"
    authority_desk.done(held, sentence, output.plain(proof), as_json=as_json)


def restore(
    kit: Kit,
    data: Data = authority_desk.HERE,
    share: Share = [],
    sealed: Sealed = None,
    *,
    keys_only: Annotated[
        bool, typer.Option("--keys-only", help="Only the sealed keys, under what the settings unlock with now.")
    ] = False,
    dry_run: authority_desk.DryRun = False,
    as_json: Json = False,
) -> None:
    """Bring an installation's authority back from a kit; overwrites nothing.  The signature log begins anew."""
    from registry.signing import recovery

    held, at = authority_desk.custody(data), datetime.now(UTC)
    with recovery.unpacked(kit, _opener(share, sealed), held.data / "run") as found:
        if dry_run:
            said = recovery.conflicts(found, held.folder, held.keys(), held.data)
            output.dump({"conflicts": said}) if as_json else output.say("; ".join(said) or "Nothing stands in the way.")
            return
        if keys_only:
            put = _keys_back(held, found, at)
            sentence, body = f"{', '.join(put)} are back", dict.fromkeys(put, "back")
        else:
            by = f"kit:{found.header.made}"
            record = recovery.restore(found, held.folder, held.keys(), held.data, at, by=by)
            sentence, body = f"the authority of {record.instance} is back in {held.folder}", record.current()
    authority_desk.done(held, f"{sentence}; now backup and recovery-test", body, as_json=as_json)


def reseal(
    data: Data = authority_desk.HERE,
    passphrase_file: Annotated[Path | None, typer.Option(help="A file with the new passphrase.")] = None,
    secret: Annotated[str, typer.Option(help="A path or systemd credential with the new secret.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Seal the keys under another passphrase or secret; afterwards the settings must name it.  Restart to use it."""
    import os

    from registry.signing.keys_sealed import SealedKeys
    from registry.signing.keys_unlock import secret_from

    held = authority_desk.custody(data)
    keys = held.keys()
    if not isinstance(keys, SealedKeys):
        raise Conflict(f"the keys are in {keys.place}", advice="Only sealed keys are sealed again.")
    unlock = (
        secret_from(secret, os.environ) if secret else authority_desk.asked(passphrase_file, "New passphrase", new=True)
    )
    keys.seal_again(unlock)
    authority_desk.done(
        held, f"the keys are unlocked by {unlock.words} from now on", {"place": keys.place}, as_json=as_json
    )


def _opener(share: list[str], sealed: Path | None) -> Opener:
    from registry.signing.recovery_kit import by_passphrase, by_shares

    if share:
        lines = [Path(one[1:]).read_text("utf-8") if one.startswith("@") else one for one in share]
        return by_shares(lines)
    return by_passphrase(authority_desk.asked(sealed, "Passphrase of the kit"))


def _keys_back(held: Custody, found: object, at: datetime) -> list[str]:
    """Move the sealed keys that nobody can open aside, and put the kit's in their place."""
    from registry.signing import recovery, rotation
    from registry.signing.encoding import rfc3339
    from registry.signing.record import Change
    from registry.signing.recovery import Unpacked

    if not isinstance(found, Unpacked) or held.settings.authority.store != "sealed":
        raise Conflict("only sealed keys are replaced alone")
    if found.record.current() != held.record.current():
        raise Conflict("the kit is older than the keys in use", advice="Restore the whole kit into an empty folder.")
    if held.sealed.exists():
        held.sealed.rename(held.sealed.with_name(f"{held.sealed.name}.locked-{at:%Y%m%dT%H%M%SZ}"))
    put = recovery.restore_keys(found, held.keys())
    rotation.note(held.folder, Change("restored", rfc3339(at), f"kit:{found.header.made}", details={"what": "keys"}))
    return put
