# SPDX-License-Identifier: Apache-2.0
"""What a worker does beside its requests: at the start it repeats erasures and tells what was done to the authority.

Meanwhile it follows the rules in force, tells the counts of refusals, and ends what has run out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from audit.transaction import Ledger
from gateway.composition import Parts
from gateway.policy_following import Keeper
from governance import sweeping
from khatim.errors import KhatimError
from registry import authority_history, erasure

_log = logging.getLogger("khatim.housekeeping")
EVERY_S = 1.0


def tell_counts(ledger: Ledger, *, is_end: bool = False) -> int:
    """Tell the counts of every minute that is over, at the *is_end* of the process of all; return how many events.

    What the ledger does not take now is kept for the next time; at the end it stands in the log.
    """
    refusals = ledger.refusals
    try:
        return refusals.flush(ledger.tell, None if is_end else ledger.clock())
    except KhatimError as lost:
        _log.warning("counts of refusals wait: %s", lost)
        if is_end:
            for floods in (refusals.strangers, refusals.suppressed):
                _log.error("counts of refusals not told: %s", floods.take(None))
        return 0


def lifespan(parts: Parts) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return what surrounds the life of a worker's application.

    Its first half is over before the first request is served; its second half begins when the last one is answered.
    """

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(erasure.repeat, parts.ledger, parts.vault)
        # Asked of the office, not read: a worker may be an account that cannot look into the authority's folder.
        await run_in_threadpool(lambda: authority_history.tell(parts.ledger, parts.office.record))
        keeper: Keeper = app.state.keeper
        await run_in_threadpool(keeper.refresh)
        stop = threading.Event()
        thread = threading.Thread(target=_keep, args=(parts.ledger, keeper, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            await run_in_threadpool(thread.join)

    return live


def _sweep(parts: Parts) -> None:
    try:
        sweeping.sweep(parts.ledger, parts.notary, parts.rules)
    except Exception:  # noqa: BLE001 - what goes wrong once may go well in a minute, and gates read the ends themselves
        _log.exception("what has run out is not ended yet")


def _refresh(keeper: Keeper) -> None:
    try:
        keeper.refresh()
        keeper.tell()
    except Exception:  # noqa: BLE001 - the rules that are loaded go on; a change that nobody signed is not applied
        _log.exception("the rules in force cannot be loaded or told")


def _keep(ledger: Ledger, keeper: Keeper, stop: threading.Event) -> None:
    swept = 0.0
    while not stop.wait(EVERY_S):
        _refresh(keeper)
        if time.monotonic() - swept >= sweeping.EVERY_S:
            swept = time.monotonic()
            _sweep(keeper.parts)
        try:
            tell_counts(ledger)
        except Exception:  # noqa: BLE001 - what goes wrong once may go well in a second, and the counts were kept
            _log.exception("counts of refusals wait")
    tell_counts(ledger, is_end=True)
