# SPDX-License-Identifier: Apache-2.0
"""What a training run is told, pure: its specification, its split, and the digest of the code that will run.

Standard library and `khatim.errors` only, so that whoever writes a standing authorisation can name the code digest
without the training room installed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from khatim.errors import Malformed
from khatim.vocabulary import Digest

GRADIENT_BOOSTING = "sklearn-gradient-boosting"
RECIPES = frozenset({GRADIENT_BOOSTING})
SOURCES = ("onnx_export.py", "recipe.py", "trainer.py", "training.py")
MODEL_FILE = "model.onnx"
RECORD_FILE = "training.json"
HOLDOUT_FILE = "holdout.parquet"
REFERENCE_FILE = "reference.parquet"


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """One training run.  Paths are the agent's own; *features* is Parquet with one row per entity (and time).

    *feature_order* fixes the model's inputs; empty means every column but the key, the label and *ignored*.
    *holdout_share* in (0, 1) of the entities is held out by the hash of ``salt`` and key.  *params* are the
    estimator's.  *reference_rows* is the size of the drift reference drawn from the training rows.  *code_digest*,
    when given, must be `code_digest()` of the code that runs: what was approved is what trains.
    """

    recipe: str
    features: str
    entity_key: str
    label: str
    out: str
    seed: int
    feature_order: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    holdout_share: float = 0.25
    salt: str = "khatim"
    params: Mapping[str, Any] = field(default_factory=dict)
    reference_rows: int = 512
    code_digest: str = ""

    def __post_init__(self) -> None:
        """Refuse an unknown recipe, an empty or whole holdout, and a seed numpy cannot take."""
        if self.recipe not in RECIPES:
            raise Malformed(f"There is no recipe {self.recipe!r}.", advice=f"Known: {', '.join(sorted(RECIPES))}.")
        if not 0.0 < self.holdout_share < 1.0:
            raise Malformed(f"The held-out share must lie between 0 and 1, not {self.holdout_share}.")
        if not 0 <= self.seed < 2**32:
            raise Malformed(f"The seed must lie between 0 and {2**32 - 1}, not {self.seed}.")

    def to_json(self) -> str:
        """Return the specification as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> TrainingSpec:
        """Read what `to_json` wrote; raises `khatim.errors.Malformed`."""
        try:
            body = json.loads(text)
        except ValueError as error:
            raise Malformed(f"The training specification is not JSON: {error}.") from error
        if not isinstance(body, dict):
            raise Malformed("The training specification is not a JSON object.")
        unknown = sorted(set(body) - {f.name for f in fields(cls)})
        if unknown:
            raise Malformed(f"The training specification has unknown members: {', '.join(unknown)}.")
        for name in ("feature_order", "ignored"):
            if name in body:
                body[name] = tuple(str(item) for item in body[name])
        try:
            return cls(**body)
        except TypeError as error:
            raise Malformed(f"The training specification is incomplete: {error}.") from error


def is_held_out(key: object, *, salt: str, share: float) -> bool:
    """Whether the entity *key* is held out.  Depends on the key alone: never on order, number or other rows.

    So every row of an entity falls on one side (no leakage between visits of one patient), and a row that comes with
    the next dataset version does not move the others.
    """
    digest = hashlib.sha256(f"{salt}\x1f{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def split_digest(keys: Iterable[object], held_out: Sequence[bool], *, salt: str, share: float) -> Digest:
    """Return the digest of who is on which side: of JSON ``{"held_out": [...], "salt", "share", "trained": [...]}``.

    The keys are sorted as text, each once.
    """
    sides: tuple[set[str], set[str]] = (set(), set())
    for key, held in zip(keys, held_out, strict=True):
        sides[held].add(str(key))
    body = {"held_out": sorted(sides[1]), "salt": salt, "share": share, "trained": sorted(sides[0])}
    return Digest.of(json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def code_digest() -> Digest:
    """Return the digest over the sources of the recipe: of one line ``sha256:<hex>  <name>`` per file, sorted by name.

    A standing training authorisation names it (OWASP ML06, SLSA v1.2 resolvedDependencies): other code, other digest,
    and the run is outside the authorisation.
    """
    here = Path(__file__).resolve().parent
    lines = [f"{Digest.of((here / name).read_bytes())}  {name}\n" for name in sorted(SOURCES)]
    return Digest.of("".join(lines).encode())
