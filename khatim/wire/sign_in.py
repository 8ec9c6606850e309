# SPDX-License-Identifier: Apache-2.0
"""How people sign in, as a command line must know it before anybody has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from khatim.wire.answers import Answer


class SignIn(Answer):
    """With which identity provider a command line signs people in (RFC 8628); in local mode with none.

    *audience_by* is the parameter that names the audience to the provider, if any.
    """

    mode: Literal["local", "oidc"] = "local"
    issuer: str = ""
    audience: str = ""
    client_id: str = ""
    scopes: list[str] = Field(default=[])
    audience_by: str = ""
