# SPDX-License-Identifier: Apache-2.0
"""The console's addresses, built in one place for templates, redirects and tests."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from khatim import sign_in_settings

ROOT = "/console"
LEDGER = f"{ROOT}/ledger"
MODELS = f"{ROOT}/models"
SIGN_IN = "/sign-in"  # what the terminal prints: short
BEGIN = f"{SIGN_IN}/begin"
CALLBACK = sign_in_settings.CALLBACK
LOGOUT = f"{SIGN_IN}/back-channel-logout"  # the identity provider's server calls it
SIGN_OUT = "/sign-out"
STATIC = f"{ROOT}/static"


def query(path: str, **parameters: str | int | bool | None) -> str:
    """Return *path* with its query changed: empty, False and None values drop the parameter, True is ``1``."""
    parts = urlsplit(path)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    added = [
        (name, "1" if value is True else str(value))
        for name, value in parameters.items()
        if value is not None and value is not False and value != ""
    ]
    encoded = urlencode(kept + added)
    return f"{parts.path}?{encoded}" if encoded else parts.path


def is_ours(path: str) -> bool:
    """Whether a browser may be sent to *path*: within the console, and never to another site."""
    return path.startswith(f"{ROOT}/") and not any(char in path for char in "\\\r\n\t")


def models(search: str = "", after: str = "") -> str:
    """Return the list of models, searched for *search*, after the cursor *after*."""
    return query(MODELS, q=search, after=after)


def version(namespace: str, model: str, number: int) -> str:
    """Return the page of one model version."""
    return f"{MODELS}/{quote(namespace, safe='')}/{quote(model, safe='')}/versions/{number}"


def approvals(namespace: str, model: str, number: int) -> str:
    """Return where the approve form is sent."""
    return f"{version(namespace, model, number)}/approvals"


def promotion(namespace: str, model: str, number: int) -> str:
    """Return where the promote form is sent."""
    return f"{version(namespace, model, number)}/promotion"


def ledger(*, kind: str = "", resource: str = "", refusals: bool = False, before: int | None = None) -> str:
    """Return the ledger, filtered, from the entry before index *before* downwards."""
    return query(LEDGER, kind=kind, resource=resource, refusals=refusals, before=before)


def entry(index: int) -> str:
    """Return the page of one ledger entry."""
    return f"{LEDGER}/{index}"
