# SPDX-License-Identifier: Apache-2.0
"""Running one scanner, here or in a process of its own that has no key, no environment, and bounds on what it takes."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, BinaryIO

from khatim.errors import Malformed
from runners.zone.scanners.findings import Finding, Found, Limits, Severity, Unreadable

_HERE = "runners.zone.scan_process"
_CHECKOUT = Path(__file__).parents[2]
_MOST_REPORT = 4 << 20
# By the names in policies/formats.yaml; imported when first used, so that a scan of text does not load onnx.
_SCANNERS = {
    "gguf": "tensors.scan_gguf",
    "keras": "bundles.scan_keras",
    "lightgbm": "texts.scan_lightgbm",
    "oci": "texts.scan_oci",
    "onnx": "graphs.scan_onnx",
    "parquet": "binaries.scan_parquet",
    "pickle": "pickles.scan_pickle",
    "pt2": "bundles.scan_pt2",
    "safetensors": "tensors.scan_safetensors",
    "sentencepiece": "binaries.scan_sentencepiece",
    "skops": "bundles.scan_skops",
    "text": "texts.scan_text",
    "xgboost": "binaries.scan_xgboost",
}


def look(scanner: str, path: str, stream: BinaryIO, limits: Limits) -> Found:
    """Run one scanner; whatever it cannot read is a danger."""
    found = Found()
    if scanner not in _SCANNERS:
        found.danger("no-scanner", path, f"there is no scanner {scanner!r}")
        return found
    module, _, function = _SCANNERS[scanner].partition(".")
    run = getattr(importlib.import_module(f"runners.zone.scanners.{module}"), function)
    try:
        run(path, stream, limits, found)
    except Unreadable as error:
        found.danger("unreadable", path, str(error))
    except (MemoryError, RecursionError) as error:
        found.danger("exhausting", path, f"the file exhausts its scan ({type(error).__name__})")
    except Malformed as error:
        found.danger("unreadable", path, error.detail)
    except Exception as error:  # noqa: BLE001 - a file that breaks its scanner has failed, whatever broke
        found.danger("unreadable", path, f"the scanner could not read it ({type(error).__name__})")
    return found


def look_in_child(scanner: str, path: str, chunks: Iterator[bytes], limits: Limits, timeout_s: float) -> Found:
    """Run a scanner in a child; raises what *chunks* raises.  Its end in any way but with a report is a danger."""
    order = {"path": path, "scanner": scanner, "limits": asdict(limits), "seconds": timeout_s}
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-B", "-m", _HERE, json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=_CHECKOUT,
        # Nothing of the agent's environment: no proxies, no credentials, no threads that would eat the memory bound.
        env={"PYTHONPATH": str(_CHECKOUT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    failures: list[BaseException] = []
    is_late = threading.Event()

    def feed(target: IO[bytes]) -> None:
        try:
            with contextlib.suppress(BrokenPipeError), target:
                for chunk in chunks:
                    target.write(chunk)
        except BaseException as error:  # noqa: BLE001 - carried to the caller, where it is raised
            failures.append(error)

    def stop() -> None:
        is_late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    timer, feeder = threading.Timer(timeout_s, stop), threading.Thread(target=feed, args=(child.stdin,))
    with child:
        timer.start()
        feeder.start()
        try:
            text = child.stdout.read(_MOST_REPORT + 1) if child.stdout else b""
            code = child.wait()
        finally:
            timer.cancel()
            child.kill()
            feeder.join()
    if failures:
        raise failures[0]
    return _found_in(text, code, path, f"{timeout_s:g} s" if is_late.is_set() else "")


def _found_in(text: bytes, code: int, path: str, late: str) -> Found:
    found = Found()
    if late:
        found.danger("scan-timeout", path, f"the scan took longer than {late}")
        return found
    try:
        body: dict[str, Any] = json.loads(text if code == 0 else b"{}")
        found.findings = [Finding(Severity(one.pop("severity")), **one) for one in body["findings"]]
        found.details = dict(body["details"])
    except (ValueError, TypeError, KeyError):
        found = Found()
        found.danger("scan-crashed", path, f"the scan ended without a report (code {code})")
    return found


def main() -> None:
    """Scan what comes through standard input and print the findings: the inside of the sandbox."""
    order = json.loads(sys.argv[1])
    limits = Limits(**order["limits"])
    seconds = int(order["seconds"]) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Libraries may print; only the report goes to the parent.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    found = look(order["scanner"], order["path"], sys.stdin.buffer, limits)
    with answer:
        answer.write(
            json.dumps({"findings": [asdict(one) for one in found.findings], "details": found.details}).encode()
        )


if __name__ == "__main__":
    main()
