# SPDX-License-Identifier: Apache-2.0
"""Who knows the ledger's head outside the database, by the settings of an installation."""

from __future__ import annotations

from collections.abc import Sequence

from audit.heads import HeadFile, HeadKeeper
from gateway import publishing
from gateway.instance import Instance
from khatim.settings import Settings


def keepers_of(settings: Settings, instance: Instance) -> Sequence[HeadKeeper]:
    """Return the keepers that the sequencer asks before it signs: the file beside the keys first of all."""
    witnesses = publishing.witnesses_of(settings, f"ledger.{settings.instance}.khatim")
    return [HeadFile(instance.head_file), *witnesses, *publishing.copies_of(settings)]
