# SPDX-License-Identifier: Apache-2.0
"""Whatever people ask for in whatever order, no permitted sequence brings bytes where the matrix forbids them.

The truth about bytes is every set of tags that was ever said of them where they first stood; what is said later, in
another zone or by a contract, takes nothing of it away.  The oracle is the matrix itself, asked about that truth.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from khatim.vocabulary import JobKind
from policies.residency import Movement, MovementKind, decide
from tests.support.agents import HandAgent
from tests.support.http import good
from tests.support.people import DANA, PAVEL, SAMI
from tests.support.world import CONTRACT, ZONE, Step, World, Worlds

ZONES = [ZONE, "ae-onshore", "ext-de"]
TAGS = [("health.ae",), ("public",), (), ("anonymised",), ("health.ae", "public")]
BLOBS = ["sha256:" + digit * 64 for digit in "ab"]


class Walk(RuleBasedStateMachine):
    """Three zones with an agent each, two blobs, and people who try."""

    datasets = Bundle("datasets")

    def __init__(self, worlds: Worlds) -> None:
        """Begin with nothing in any zone."""
        super().__init__()
        self._open = ExitStack()
        self.world: World = self._open.enter_context(worlds.at(Step.ENROLLED))
        self.agents: dict[str, HandAgent] = {}
        self.homes: dict[str, list[tuple[str, frozenset[str]]]] = {}  # where each blob came in, and as what
        self.versions: list[str] = []

    def teardown(self) -> None:
        """Let the world go."""
        self._open.close()

    @initialize()
    def enrol(self) -> None:
        """Let every zone have an agent."""
        self.agents = {zone: self.world.enrol(zone) for zone in ZONES[1:]}
        self.agents[ZONE] = self.world.agent

    def may(self, digest: str, kind: MovementKind, to_zone: str) -> bool:
        """Whether the matrix lets these bytes come from everywhere they came in to *to_zone*, as all that they are."""
        rules = self.world.parts.rules.residency
        ways = [
            Movement(kind=kind, from_zone=zone, to_zone=to_zone, tags=tags) for zone, tags in self.homes.get(digest, [])
        ]
        return all(decide(rules, way, at=self.world.clock()) for way in ways)

    @rule(digest=st.sampled_from(BLOBS), zone=st.sampled_from(ZONES), tags=st.sampled_from(TAGS))
    def upload(self, digest: str, zone: str, tags: tuple[str, ...]) -> None:
        """Bring bytes into a zone, under whatever name."""
        body = {"zone": zone, "digest": digest, "size": 100, "tags": list(tags)}
        answer = self.world.as_(SAMI).post("/v1/uploads", body)
        if answer.status_code == 201:
            assert self.may(digest, MovementKind.REPLICATE, zone) or self._is_home(digest, zone), (zone, tags)
            good(self.agents[zone].report(good(answer)))
            self.homes.setdefault(digest, []).append((zone, frozenset(tags)))
        else:
            assert answer.status_code == 403, answer.text

    @rule(digest=st.sampled_from(BLOBS), zone=st.sampled_from(ZONES), to_zone=st.sampled_from(ZONES))
    def download(self, digest: str, zone: str, to_zone: str) -> None:
        """Take bytes out of a zone."""
        body = {"zone": zone, "digest": digest, "to_zone": to_zone}
        answer = self.world.as_(SAMI).post("/v1/downloads", body)
        if answer.status_code == 201:
            here = [tags for _, tags in self.homes[digest]]
            rules, at = self.world.parts.rules.residency, self.world.clock()
            for tags in here:
                way = Movement(kind=MovementKind.DOWNLOAD, from_zone=zone, to_zone=to_zone, tags=tags)
                assert decide(rules, way, at=at), (zone, to_zone, tags)
        else:
            assert answer.status_code in (403, 404), answer.text

    @rule(
        digest=st.sampled_from(BLOBS), zone=st.sampled_from(ZONES), tags=st.sampled_from(TAGS),
        target=datasets, is_column=st.booleans(),
    )  # fmt: skip
    def ingest(self, digest: str, zone: str, tags: tuple[str, ...], *, is_column: bool) -> Any:
        """Make a dataset of a blob, by a contract that may say less than is known."""
        columns = [{**CONTRACT["columns"][0], "tags": list(tags)}, *CONTRACT["columns"][1:]]
        said = {**CONTRACT, "tags": []} | ({"columns": columns} if is_column else {"tags": list(tags)})
        body = {"zone": zone, "source": digest, "contract": said}
        answer = self.world.as_(DANA).post("/v1/datasets/oncology/walked/versions", body)
        if answer.status_code != 202:
            assert answer.status_code in (403, 404), answer.text
            return None
        job = self.agents[zone].claim_a(JobKind.INGEST)
        made = good(self.agents[zone].complete(job))["outcome"]["made"].partition(":")[2]
        model, _, number = made.partition("@")
        row = good(self.world.as_(DANA).get(f"/v1/datasets/{model}/versions/{number}"))
        known = frozenset[str]().union(*(one for at, one in self.homes[digest] if at == zone))
        assert known | set(tags) <= set(row["tags"]), row
        self.homes.setdefault(row["digest"], []).append((zone, frozenset(row["tags"])))
        return row

    @rule(row=datasets, to_zone=st.sampled_from(ZONES))
    def take_dataset(self, row: Any, to_zone: str) -> None:
        """Take a dataset's own bytes out, or bring them in elsewhere as something else."""
        if row is None:
            return
        self.download(row["digest"], row["zone"], to_zone)
        self.upload(row["digest"], to_zone, ("public",))

    def _is_home(self, digest: str, zone: str) -> bool:
        return digest not in self.homes or all(at == zone for at, _ in self.homes[digest])

    @invariant()
    def no_copy_stands_where_it_must_not(self) -> None:
        """Ask the matrix about every copy, as everything that was said when it came in."""
        rules, at = self.world.parts.rules.residency, self.world.clock()
        for digest, zone, tags in self.world.sql("SELECT digest, zone, tags FROM placements"):
            way = Movement(kind=MovementKind.PLACE, from_zone=zone, to_zone=zone, tags=frozenset(tags))
            assert decide(rules, way, at=at), (digest, zone, tags)


def test_no_permitted_sequence_brings_bytes_where_they_must_not_be(worlds: Worlds) -> None:
    class Here(Walk):
        def __init__(self) -> None:
            super().__init__(worlds)

    quick = settings(
        max_examples=40, stateful_step_count=12, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Here, settings=quick)


def test_bytes_are_not_renamed_on_their_way_abroad(enrolled: World) -> None:
    """The very walk that was open: health data taken out, then brought in elsewhere as public."""
    enrolled.enrol("ext-de")
    digest = enrolled.place("patients.csv", tags=("health.ae",))
    body = {"zone": "ext-de", "digest": digest, "size": 100, "tags": ["public"]}
    answer = enrolled.as_(SAMI).post("/v1/uploads", body)

    assert (answer.status_code, answer.json()["movement"]) == (403, "replicate")
    assert "health.ae" in answer.json()["rule"]


def test_what_came_without_tags_does_not_become_public_by_coming_again(enrolled: World) -> None:
    digest = enrolled.place("notes.csv", tags=())
    again = enrolled.place("notes.csv", tags=("public",))
    [copy] = good(enrolled.as_(PAVEL).get(f"/v1/artifacts/{digest}/placements"))["copies"]

    assert again == digest
    assert copy["tags"] == ["personal", "public"]
    assert enrolled.kinds()[-1] == "artifact.tagged"
