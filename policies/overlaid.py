# SPDX-License-Identifier: Apache-2.0
"""Policy files as texts: the shipped ones, and those that an installation lays over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from khatim.errors import Misconfigured

YAML_FILES: Final = (
    "zones.yaml",
    "transfers.yaml",
    "gates.yaml",
    "formats.yaml",
    "runtime.yaml",
    "conditions.yaml",
    "retention.yaml",
    "assignments.yaml",
    "entities.yaml",
    "findings.yaml",
    "incidents.yaml",
    "sign_in.yaml",
)
OVERLAY_FILES: Final = frozenset({*YAML_FILES, "roles.csv"})
OVERLAY: Final = "overlay"
"""The folder of an overlay that came as texts: decisions name their rows by it, and digests with them."""
SHIPPED: Final = Path(__file__).parent / "overlays"
"""Overlays that come with Khatim: `small` and `solo` are profiles of gates, `demo` what the demonstration shows."""
_MAX_BYTES: Final = 4 * 1024 * 1024


def text_of(path: Path) -> str:
    """Return the text of a policy file; raises `Misconfigured` when it is missing, too large or no UTF-8."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise Misconfigured(f"{path.name}: larger than {_MAX_BYTES} bytes, which no policy is")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Misconfigured(f"{path.name}: not found in {path.parent}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path.name}: cannot be read: {error}") from error


def check_overlay(overlay: Path) -> None:
    """Refuse an overlay that is no folder, or has a file that none has; raises `Misconfigured`."""
    if not overlay.is_dir():
        raise Misconfigured(f"the policy overlay {overlay} is not a folder")
    _check_names([path.name for path in overlay.iterdir()], f"{overlay.name}/")


def shipped(name: str) -> Path | None:
    """Return the folder of the overlay of that name that comes with Khatim, None when there is none."""
    known = {path.name: path for path in SHIPPED.iterdir() if path.is_dir()}
    return known.get(name)


def texts_of(overlay: Path) -> dict[str, str]:
    """Return the texts of an overlay by file name; raises `Misconfigured`."""
    return {path.name: text_of(path) for path in sorted(overlay.iterdir())}


def write_overlay(folder: Path, files: Mapping[str, str]) -> Path:
    """Write *files* into the new *folder* and return it; raises `Misconfigured` for a name that no overlay has."""
    _check_names(files, "")
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _check_names(names: Iterable[str], where: str) -> None:
    if strange := sorted(name for name in names if name not in OVERLAY_FILES):
        known = ", ".join(sorted(OVERLAY_FILES))
        raise Misconfigured(f"{where}{strange[0][:80]}: an overlay may hold {known} and nothing else")
