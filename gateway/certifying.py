# SPDX-License-Identifier: Apache-2.0
"""Certificates for whoever asks over HTTP: what the database knows is asked here, the token is judged by the office."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.transaction import Ledger
from gateway.sign_in import Authenticator
from khatim import tokens
from khatim.errors import Unauthenticated
from khatim.vocabulary import Action, Resource
from registry.signing.office import Office
from runners import agents

_FOR_SIGNING = frozenset({"signing", ""})
"""Kinds of tokens that nobody but the office judges: ours for Sigstore's clients, and those of outside issuers."""


@dataclass(frozen=True)
class Certifier:
    """Hands out certificates.  Built once by the composition root."""

    ledger: Ledger
    authenticator: Authenticator
    office: Office

    def certificate(self, body: Mapping[str, Any], token: str | None, proof: str = "") -> dict[str, Any]:
        """Return the certificate chain for whoever *token* stands for, in Fulcio's JSON.

        Of the tokens of our own API only those of agents that are enrolled now count; a refusal of them is recorded.
        """
        if token is None:
            raise Unauthenticated("a certificate is for the bearer of a token")
        if tokens.kind_of(token) not in _FOR_SIGNING:
            with self.ledger.reading(self.authenticator.bearer(token)) as reader:
                reader.require(Action.STATEMENT_SUBMIT, Resource("statement", "new", zone=reader.actor.zone or ""))
                agents.of_actor(reader)
        return self.office.signing_cert(body, token, proof)
