# SPDX-License-Identifier: Apache-2.0
"""Dataset versions and feature views: asked for here, made in the zone that holds the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from khatim.calls import addresses
from khatim.calls.connection import PAGE, Connection, body
from khatim.contracts import DataContract, FeatureViewSpec, contract_of, feature_view_of
from khatim.wire import answers, requests

Contract = DataContract | Mapping[str, Any] | str | bytes
View = FeatureViewSpec | Mapping[str, Any] | str | bytes


class Datasets:
    """Dataset versions."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def ingest(self, name: str, *, zone: str, source: str, contract: Contract) -> answers.Job:
        """Ask for the next version of the dataset *name*, made from the uploaded file with the digest *source*.

        *contract* is checked here first; raises `ContractUnreadable` naming every problem in it.
        """
        namespace, plain = addresses.split(name, "dataset")
        read = contract if isinstance(contract, DataContract) else contract_of(contract)
        given = body(requests.Ingest, zone=zone, source=source, contract=read.model_dump(mode="json"))
        return self._connection.send(answers.Job, f"/v1/datasets/{namespace}/{plain}/versions", given)

    def get(self, path: str) -> answers.DatasetVersion:
        """Return one dataset version."""
        return self._connection.ask(answers.DatasetVersion, addresses.version(path, "dataset"))

    def list(self) -> Iterator[answers.DatasetVersion]:
        """Yield every dataset version by name."""
        return self._connection.pages(answers.DatasetVersion, "/v1/datasets", {"limit": PAGE})


class Features:
    """Feature view versions."""

    def __init__(self, connection: Connection) -> None:
        """Call through *connection*."""
        self._connection = connection

    def materialise(self, name: str, *, dataset: str, spec: View) -> answers.Job:
        """Ask for the next version of the feature view *name*, made from a dataset version in its zone."""
        read = spec if isinstance(spec, FeatureViewSpec) else feature_view_of(spec)
        given = body(
            requests.Materialise, dataset=addresses.numbered(dataset, "dataset"), spec=read.model_dump(mode="json")
        )
        return self._connection.send(answers.Job, f"/v1/features/{_own_name(name, dataset)}/versions", given)

    def get(self, path: str) -> answers.FeatureViewVersion:
        """Return one feature view version."""
        return self._connection.ask(answers.FeatureViewVersion, addresses.version(path, "features"))

    def list(self) -> Iterator[answers.FeatureViewVersion]:
        """Yield every feature view version by name."""
        return self._connection.pages(answers.FeatureViewVersion, "/v1/features", {"limit": PAGE})


def _own_name(name: str, dataset: str) -> str:
    """Return the view's name without its namespace, which is the dataset's."""
    namespace = addresses.numbered(dataset, "dataset").partition("/")[0]
    return addresses.split(name if "/" in name else f"{namespace}/{name}", "features")[1]
