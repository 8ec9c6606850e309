# SPDX-License-Identifier: Apache-2.0
"""Which rules an installation applies: those of the policy change in force, else the configured overlay.

The texts of the change in force lie in the data folder too (``policies/``), so that what runs without the service's
database - a sender of streams, a desk - applies the same rules.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from khatim.settings import Settings
from policies.loading import PolicyBundle
from policies.overlaid import OVERLAY, texts_of, write_overlay
from policies.residency import ResidencyRules

FOLDER = "policies"
_POINTER = "active"


def overlay_of(settings: Settings) -> Path | None:
    """Return the overlay that this installation applies: of the change in force where one was loaded, else the set."""
    pointer = settings.data / FOLDER / _POINTER
    return pointer.resolve() if pointer.is_symlink() else settings.policies


def loaded(settings: Settings) -> PolicyBundle:
    """Return the rules that this installation applies, without asking the database."""
    return PolicyBundle.load(overlay=overlay_of(settings))


class Followed:
    """The residency rules that this installation applies, read again when others are in force; for other processes."""

    def __init__(self, settings: Settings) -> None:
        """Follow the rules of *settings*."""
        self._settings = settings
        self._known: tuple[Path | None, ResidencyRules] | None = None

    def __call__(self) -> ResidencyRules:
        """Return the rules; raises `Misconfigured`."""
        overlay = overlay_of(self._settings)
        if self._known is None or self._known[0] != overlay:
            self._known = overlay, PolicyBundle.load(overlay=overlay).residency
        return self._known[1]


def keep(settings: Settings, change: str, files: Mapping[str, str]) -> None:
    """Lay the texts of *change* into the data folder and point to them."""
    home = settings.data / FOLDER
    folder = home / change
    home.mkdir(mode=0o700, exist_ok=True)
    # Decisions name rows by folder, file and line, so that the folder has the name by which the change was judged.
    if not folder.is_dir() or texts_of(folder / OVERLAY) != files:
        shutil.rmtree(folder, ignore_errors=True)  # somebody changed it
        draft = home / f".{change}.{os.getpid()}.{secrets.token_hex(4)}"
        draft.mkdir(mode=0o700)
        write_overlay(draft / OVERLAY, files)
        try:
            draft.rename(folder)
        except OSError:  # another worker was first
            shutil.rmtree(draft)
    pointer = home / f".{_POINTER}.{os.getpid()}.{secrets.token_hex(4)}"
    pointer.symlink_to(Path(change) / OVERLAY)
    pointer.replace(home / _POINTER)


def forget(settings: Settings) -> None:
    """Apply the configured overlay again: no change is in force."""
    (settings.data / FOLDER / _POINTER).unlink(missing_ok=True)
