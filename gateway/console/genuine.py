# SPDX-License-Identifier: Apache-2.0
"""Forms that the person's own pages made: what every changing address of the console depends on."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Request

from gateway.console import sessions
from gateway.console.visits import Wiring


def genuine_form(request: Request, wiring: Wiring, csrf: Annotated[str, Form(max_length=200)] = "") -> None:
    """Refuse a form that this person's own pages did not make."""
    sessions.require_same_origin(request)
    wiring.authenticator.check_csrf(request, csrf)


GENUINE = Depends(genuine_form)
