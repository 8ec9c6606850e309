# SPDX-License-Identifier: Apache-2.0
"""The raw file of the story: the Breast Cancer Wisconsin diagnostic data that scikit-learn ships, as a hospital has it.

A patient key is added, and four bad rows, so that the data contract has something to find.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from khatim.errors import NotFound

ZONE = "ae-health"
TAGS = ("health.ae",)
DATASET = "oncology/wdbc"
VIEW = "oncology/cell-shape"
MODEL = "oncology/malignancy"
NOTEBOOK = "oncology/notebook"
NAMESPACE = "oncology"
PURPOSE = "triage of fine needle aspirates by malignancy"
ENTITY, LABEL = "patient", "malignant"
SEED, HOLDOUT_SHARE = 2026, 0.3
BAD_ROWS = 4

# What is measured of each nucleus, the unit, and the largest value that can be right.
MEASURES: Mapping[str, tuple[str, float]] = {
    "radius": ("um", 60),
    "texture": ("1", 100),
    "perimeter": ("um", 400),
    "area": ("um2", 8000),
    "smoothness": ("1", 1),
    "compactness": ("1", 3),
    "concavity": ("1", 3),
    "concave_points": ("1", 1),
    "symmetry": ("1", 1),
    "fractal_dimension": ("1", 1),
}
COLUMNS = tuple(f"{how}_{what}" for how in ("mean", "error", "worst") for what in MEASURES)


def contract() -> dict[str, Any]:
    """Return the data contract: types, ranges, units, tags."""
    measured = [
        {
            "name": column,
            "type": "float64",
            "minimum": 0,
            "maximum": MEASURES[column.partition("_")[2]][1],
            "unit": MEASURES[column.partition("_")[2]][0],
        }
        for column in COLUMNS
    ]
    return {
        "description": "Breast Cancer Wisconsin (diagnostic): cell nuclei in digitised fine needle aspirates",
        "columns": [
            {"name": ENTITY, "type": "string", "tags": list(TAGS), "description": "pseudonym of the patient"},
            *measured,
            {"name": LABEL, "type": "int64", "allowed": [0, 1], "description": "1 when the biopsy found cancer"},
        ],
        "key": [ENTITY],
        "tags": list(TAGS),
        "max_quarantine_ratio": 0.02,
    }


def view() -> dict[str, Any]:
    """Return the feature view: every measure as it is, and the diagnosis as the label."""
    return {
        "description": "shape of cell nuclei, one row per patient",
        "entity": ENTITY,
        "features": [
            {"name": column, "source": column, "unit": MEASURES[column.partition("_")[2]][0]} for column in COLUMNS
        ],
        "label": LABEL,
    }


def write(to: Path) -> int:
    """Write the raw file; return how many rows it has.  Raises `NotFound` without scikit-learn's data."""
    with _shipped().open(newline="") as source:
        shipped = list(csv.reader(source))[1:]
    # The shipped file says 0 for malignant and 1 for benign.
    rows = [
        [f"P{number:04d}", *row[: len(COLUMNS)], "1" if row[len(COLUMNS)] == "0" else "0"]
        for number, row in enumerate(shipped, 1)
    ]
    with to.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([ENTITY, *COLUMNS, LABEL])
        writer.writerows([*rows, *_bad(rows)])
    return len(rows) + BAD_ROWS


def _bad(rows: list[list[str]]) -> list[list[str]]:
    """Return four rows that a hospital's export might well hold."""
    negative = ["P9001", "-12.4", *rows[0][2:]]
    words = ["P9002", "n/a", *rows[1][2:]]
    empty = ["P9003", *rows[2][1:-1], ""]
    twice = list(rows[3])
    return [negative, words, empty, twice]


def _shipped() -> Path:
    """Return where the data lies: found, not imported, so that the story needs scikit-learn's file only."""
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / "datasets" / "data" / "breast_cancer.csv"
        if file.is_file():
            return file
    raise NotFound("scikit-learn's breast cancer data is not installed", advice="make install")
