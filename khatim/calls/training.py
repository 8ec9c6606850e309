# SPDX-License-Identifier: Apache-2.0
"""Standing training authorisations, and the runs inside them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from khatim.calls import addresses
from khatim.calls.connection import PAGE, Connection, body
from khatim.wire import answers, requests

Parameter = int | float | str


class Authorisations:
    """What may be trained, on what, with which code, where, how often and until when."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def request(
        self,
        namespace: str,
        *,
        datasets: Sequence[str],
        purpose: str,
        code_digest: str,
        zone: str,
        budget_runs: int,
        ends_at: datetime,
    ) -> answers.Authorisation:
        """Ask for an authorisation; another person must approve it."""
        given = body(
            requests.Authorisation,
            namespace=namespace,
            datasets=[addresses.numbered(one, "dataset") for one in datasets],
            purpose=purpose,
            code_digest=code_digest,
            zone=zone,
            budget_runs=budget_runs,
            ends_at=ends_at,
        )
        return self._connection.send(answers.Authorisation, "/v1/authorisations", given)

    def approve(self, authorisation: str | uuid.UUID, *, because: str) -> answers.Authorisation:
        """Approve one.  Raises `SeparationOfDuties` for the person who asked for it."""
        return self._decide(authorisation, "approval", because)

    def revoke(self, authorisation: str | uuid.UUID, *, because: str) -> answers.Authorisation:
        """Take one back."""
        return self._decide(authorisation, "revocation", because)

    def list(self) -> Iterator[answers.Authorisation]:
        """Yield the authorisations, newest first."""
        return self._connection.pages(answers.Authorisation, "/v1/authorisations", {"limit": PAGE})

    def _decide(self, name: str | uuid.UUID, what: str, because: str) -> answers.Authorisation:
        where = addresses.identified("authorisations", name)
        return self._connection.send(answers.Authorisation, f"{where}/{what}", body(requests.Reason, because=because))


class Trainings:
    """Training runs."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def start(
        self,
        model: str,
        *,
        authorisation: str | uuid.UUID,
        features: str,
        purpose: str,
        code_digest: str,
        parameters: Mapping[str, Parameter] | None = None,
        holdout_share: float = 0.3,
        seed: int = 0,
    ) -> answers.Job:
        """Train the next version of *model* inside a standing authorisation.

        Raises `OutsideAuthorisation` naming every term that the run breaks.
        """
        given = body(
            requests.Train,
            authorisation=str(authorisation),
            features=addresses.numbered(features, "features"),
            model="/".join(addresses.split(model)),
            purpose=purpose,
            code_digest=code_digest,
            parameters=dict(parameters or {}),
            holdout_share=holdout_share,
            seed=seed,
        )
        return self._connection.send(answers.Job, "/v1/trainings", given)
