# SPDX-License-Identifier: Apache-2.0
"""Small jobs for the cluster tests: ``python -m tests.runners.zone.jobs SPEC --on WHERE``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main(spec: Path) -> int:
    """Do what the specification says."""
    asked = json.loads(spec.read_text())
    with Path(asked["runs"]).open("a") as runs:
        runs.write(f"{os.getpid()}\n")
    if asked["do"] == "environment":
        Path(asked["out"]).write_text(json.dumps(dict(os.environ)))
    if asked["do"] == "sleep":
        # A child in a session of its own: the kind of process that a kill of the group misses.
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        Path(asked["out"]).write_text(json.dumps([os.getpid(), child.pid]))
        time.sleep(600)
    sys.stdout.write(f"did {asked['do']}\n")
    return 3 if asked["do"] == "fail" else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
