# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's own load generator (pgbench, of the embedded wheel): the database is measured, not a client."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from khatim.cli.benchmarks.figures import Figure, percentile
from khatim.errors import Unavailable

_MICROSECONDS = 1_000_000
_TIME_COLUMN = 2  # of pgbench's log: client, number, time in microseconds, script, seconds, microseconds


def transactions(what: str, url: str, script: str, *, clients: int, seconds: int) -> Figure:
    """Run *script* (one transaction) over and over with *clients* connections, each waiting for its commit.

    Raises `Unavailable` when pgbench does not end well.
    """
    from gateway.embedded import program_path

    with tempfile.TemporaryDirectory(prefix="khatim-pgbench-") as folder:
        place = Path(folder)
        (place / "script.sql").write_text(script)
        command = [
            str(program_path("pgbench")), "--no-vacuum", "--protocol=prepared", f"--client={clients}", "--jobs=2",
            f"--time={seconds}", "--log", "--file=script.sql", url,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise Unavailable(f"pgbench ended with status {done.returncode}: {done.stderr[-500:]}")
        taken = [
            int(line.split()[_TIME_COLUMN]) / _MICROSECONDS
            for log in place.glob("pgbench_log.*")
            for line in log.read_text().splitlines()
        ]
    return Figure(what, len(taken) / seconds, percentile(taken, 0.5), percentile(taken, 0.99))
