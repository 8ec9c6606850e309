# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: a skipped test fails the run unless `skips.toml` allows it, with a reason.

A suite that skips in silence proves less every month.  Under ``CI=true`` only entries with ``ci = true`` hold.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

ALLOWED = Path(__file__).with_name("skips.toml")


def allowed(text: str, *, ci: bool) -> frozenset[str]:
    """Return the node ids that *text* (TOML) allows to skip; an entry without a reason is an error."""
    entries = tomllib.loads(text).get("allow", [])
    for entry in entries:
        if not entry.get("reason", "").strip():
            raise pytest.UsageError(f"skips.toml: {entry.get('test')} has no reason")
    return frozenset(entry["test"] for entry in entries if entry.get("ci") or not ci)


class Skips:
    """Collects what was skipped and fails the session for what may not be."""

    def __init__(self, may: frozenset[str]) -> None:
        self._may = may
        self.forbidden: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See a test that was skipped; an expected failure is not one."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._see(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """See a whole module that was skipped."""
        if report.skipped:
            self._see(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a green run with a forbidden skip into a red one."""
        if self.forbidden and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name each forbidden skip."""
        if self.forbidden:
            terminalreporter.section("skipped without leave", red=True)
            for nodeid in self.forbidden:
                terminalreporter.line(f"{nodeid}: run it, or allow it in {ALLOWED.name} with a reason")

    def _see(self, nodeid: str) -> None:
        # An entry that ends in a slash is a folder.
        if nodeid not in self._may and not any(one.endswith("/") and nodeid.startswith(one) for one in self._may):
            self.forbidden.append(nodeid)


def pytest_configure(config: pytest.Config) -> None:
    """Watch in the process that collects all reports (with xdist: the controller only)."""
    if not hasattr(config, "workerinput"):
        ci = os.environ.get("CI") == "true"
        config.pluginmanager.register(Skips(allowed(ALLOWED.read_text(encoding="utf-8"), ci=ci)), "khatim-skips")
