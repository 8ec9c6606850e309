# SPDX-License-Identifier: Apache-2.0
"""A sequencer as a process to be killed by the tests: ``python -m tests.audit.sequencing``, the URL on stdin."""

from __future__ import annotations

import sys
import threading

from audit.sequencer import Sequencer
from tests.audit.ledgers import ORIGIN, SIGNER

if __name__ == "__main__":
    Sequencer(sys.stdin.readline().strip(), ORIGIN, SIGNER, batch=50, poll_s=0.005).run(threading.Event())
