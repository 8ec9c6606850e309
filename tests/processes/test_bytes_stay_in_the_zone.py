# SPDX-License-Identifier: Apache-2.0
"""No byte of data or model crosses a gateway socket or reaches the registry's database; only digests do."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runners.zone.recipe import code_digest
from runners.zone.store import ZoneStore
from tests.processes.installation import Installation, contract, dumped
from tests.processes.recorder import Recorder

COLUMNS = [f"f{number}" for number in range(4)]
WINDOW = 48  # bytes; longer than any digest or name that rightly appears on both sides


def patients(count: int) -> bytes:
    """Rows that nobody else would write: every key and every number is recognisable."""
    draw = random.Random(7)
    lines = [",".join(["patient", *COLUMNS, "malignant"])]
    for number in range(count):
        label = number % 2
        values = [f"{draw.uniform(1, 9) + 3 * label:.13f}" for _ in COLUMNS]
        lines.append(",".join([f"canary-{number:05d}-q7x", *values, str(label)]))
    return ("\n".join(lines) + "\n").encode()


def windows(data: bytes) -> list[bytes]:
    """Pieces of *data* as they would look if they went by: as they are and in base64 at each alignment."""
    pieces = [data[at : at + WINDOW] for at in range(0, len(data) - WINDOW, max(1, len(data) // 200))]
    varied = [piece for piece in pieces if len(set(piece)) > WINDOW // 4]
    return [
        *varied,
        *(base64.b64encode(piece[shift:])[: WINDOW - 8] for piece in varied for shift in range(3)),
    ]


def test_no_data_or_model_byte_crosses_the_gateway_or_reaches_the_database(installation: Installation) -> None:
    with Recorder(installation.port) as relay:
        installation.start_agent(url=relay.url)
        data = patients(400)
        source = installation.upload("engineer", data, tags=["health.ae"], url=relay.url)

        ask = {"zone": "ae-health", "source": source, "contract": contract(COLUMNS)}
        job = installation.call("engineer", "POST", "/v1/datasets/oncology/canaries/versions", ask, url=relay.url)
        assert installation.await_job(job)["state"] == "done"
        view = {
            "entity": "patient",
            "features": [{"name": name, "source": name} for name in COLUMNS],
            "label": "malignant",
        }
        ask = {"dataset": "oncology/canaries@1", "spec": view}
        job = installation.call("scientist", "POST", "/v1/features/shapes/versions", ask, url=relay.url)
        assert installation.await_job(job)["state"] == "done"
        terms = {
            "namespace": "oncology",
            "datasets": ["oncology/canaries@1"],
            "purpose": "triage",
            "code_digest": str(code_digest()),
            "zone": "ae-health",
            "budget_runs": 1,
            "ends_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        }
        allowed = installation.call("scientist", "POST", "/v1/authorisations", terms)
        installation.call("privacy", "POST", f"/v1/authorisations/{allowed['id']}/approval", {"because": "fits"})
        ask = {
            "authorisation": allowed["id"],
            "features": "oncology/shapes@1",
            "model": "oncology/canary",
            "purpose": "triage",
            "code_digest": str(code_digest()),
            "parameters": {"n_estimators": 10},
        }
        job = installation.call("scientist", "POST", "/v1/trainings", ask, url=relay.url)
        done = installation.await_job(job)
        assert done["state"] == "done", done

        crossed = relay.seen
        stored = dumped(installation)

    store = ZoneStore.open(installation.folder / "agent" / "store", "ae-health")
    blobs = [store.read(digest, max_size=1 << 30) for digest in store.digests()]
    assert len(blobs) >= 6, "source, dataset, features, model, record, held-out rows, reference"
    assert len(crossed) > 50_000, "the relay saw the conversation"
    assert source.encode() in crossed, "digests do cross"
    assert source.encode() in stored, "digests are registered"
    for place, seen in (("the gateway's socket", crossed), ("the registry's database", stored)):
        assert b"canary-0" not in seen, f"a data value reached {place}"
        assert b"PAR1" not in seen, f"Parquet reached {place}"
        for blob in blobs:
            # training.json describes the run; what it says is registered on purpose.
            if not blob.startswith(b"{"):
                assert not [piece for piece in windows(blob) if piece in seen], f"bytes of a blob reached {place}"


def test_the_store_on_disk_does_not_show_what_it_holds(installation: Installation) -> None:
    folder: Path = installation.folder / "agent" / "store"
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]

    assert files
    assert not [file for file in files if b"canary-0" in file or b"PAR1" in file]
