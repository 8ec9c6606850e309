# SPDX-License-Identifier: Apache-2.0
"""The console as people meet it: over HTTP, on a real database, with real signatures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event

from gateway.console import addresses
from gateway.embedded import EmbeddedDatabase
from tests.gateway.console.conftest import sequence
from tests.gateway.console.pages import Element, read
from tests.gateway.console.story import (
    APPROVER,
    AUDITOR,
    ENGINEER,
    OFFICER,
    PAGE,
    SCIENTIST,
    VALIDATOR,
    ZONE,
    Story,
)


def form(page: Element, action: str) -> dict[str, str]:
    """Return what the page's form would send as it stands."""
    found = next(one for one in page.all("form") if one.get("action").endswith(action))
    fields = [
        one for one in found.all("input", "textarea") if one.get("type") != "radio" or "checked" in one.attributes
    ]
    sent = {field.get("name"): field.get("value") for field in fields}
    return sent | {field.get("name"): field.all("option")[0].get("value") for field in found.all("select")}


def test_a_stranger_is_led_to_the_sign_in_page(story: Story) -> None:
    browser = story.browser()

    for path in ("/console/models", PAGE, "/console/ledger", "/console/ledger/0"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, addresses.query("/sign-in", then=path))
    assert "There is no password" in browser.get("/sign-in").text


def test_a_link_signs_in_once_and_the_ledger_says_so(story: Story, cluster: EmbeddedDatabase) -> None:
    browser, link = story.browser(), story.link(AUDITOR)
    asked = browser.get("/sign-in", params={"link": link})
    first = browser.post("/sign-in", data={"link": link})
    second = story.browser().post("/sign-in", data={"link": link})
    sequence(story, cluster)

    assert "Huda Saleh" in asked.text
    assert first.status_code == 303
    assert "httponly" in first.headers["set-cookie"].lower()
    assert second.status_code == 401
    assert "This link was used before." in second.text
    assert "person.signed_in" in browser.get("/console/ledger").text


def test_a_link_past_its_time_and_one_of_nobody_say_what_is_wrong(story: Story) -> None:
    browser = story.browser()
    late = browser.post("/sign-in", data={"link": story.link(AUDITOR, ago=timedelta(hours=1))})
    wrong = browser.get("/sign-in", params={"link": "nonsense"})

    assert (late.status_code, wrong.status_code) == (401, 401)
    assert "This link has expired." in late.text
    assert "This link is not known here." in wrong.text


def test_signing_out_ends_the_session_and_needs_the_token(story: Story) -> None:
    browser = story.browser(AUDITOR)
    forged = browser.post("/sign-out", data={"csrf": "guess"})
    real = browser.post("/sign-out", data=form(read(browser.get("/console/models").text), "/sign-out"))

    assert forged.status_code == 403
    assert real.headers["location"] == "/sign-in?out=1"
    assert browser.get("/console/models").status_code == 303


def test_every_page_opens_in_both_languages_with_headers_that_browsers_obey(told: Story) -> None:
    browser = told.browser(AUDITOR)

    for path in ("/console/models", PAGE, "/console/ledger", "/console/ledger/3"):
        for lang in ("en", "ar"):
            answer = browser.get(path, params={"lang": lang})
            assert answer.status_code == 200, answer.text
            assert read(answer.text).all("html")[0].get("lang") == lang
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
    assert read(browser.get("/console/models").text).all("html")[0].get("lang") == "ar"


def test_the_list_says_what_each_model_waits_for(told: Story) -> None:
    browser = told.browser(AUDITOR)
    row = read(browser.get("/console/models", params={"q": "malig"}).text).all("tbody")[0].text()

    assert "oncology/malignancy" in row
    assert "Ready" in row
    assert "0/3" in row
    assert "No model matches." in browser.get("/console/models", params={"q": "nothing"}).text
    assert browser.get("/console/models", params={"after": "rubbish"}).status_code == 422


def test_the_version_page_shows_evidence_signatures_and_lineage_as_they_are(told: Story) -> None:
    page = read(told.browser(AUDITOR).get(PAGE).text)
    text = page.text()
    graph = next(e for e in page.all("svg") if e.get("class") == "graph")

    for said in (
        "Area under the ROC curve",
        "0.970 – 0.999",
        "171 rows",
        "too few rows",
        "Nothing found",
        "Mariam Al Ketbi",
    ):
        assert said in text
    assert "Does not verify" not in text
    assert len([e for e in graph.walk() if e.get("class").startswith("graph-node")]) == 4


def test_a_person_of_the_roles_asked_for_approves_what_they_saw(told: Story, cluster: EmbeddedDatabase) -> None:
    browser = told.browser(VALIDATOR)
    page = read(browser.get(PAGE).text)
    answer = browser.post(PAGE + "/approvals", data=form(page, "/approvals") | {"comment": "Reproduced."})
    sequence(told, cluster)
    after = browser.get(answer.headers["location"]).text

    assert "Your approval is asked for, in the role: Validator." in page.text()
    assert answer.status_code == 303, answer.text
    assert "Your approval is signed and recorded." in after
    assert "Reproduced." in after
    assert "Server-attested" in after
    assert "Your approval of exactly these bytes is in force." in after
    assert "approval.granted" in after


def test_what_changed_since_it_was_seen_is_not_approved(told: Story) -> None:
    browser = told.browser(VALIDATOR)
    sent = form(read(browser.get(PAGE).text), "/approvals") | {"seen": "sha256:" + "0" * 64}
    answer = browser.post(PAGE + "/approvals", data=sent)

    assert answer.status_code == 409
    assert "What you saw has changed" in answer.text
    assert f'href="{PAGE}"' in answer.text


def test_a_form_without_the_token_of_its_session_does_nothing(told: Story) -> None:
    browser = told.browser(VALIDATOR)
    sent = form(read(browser.get(PAGE).text), "/approvals")

    assert browser.post(PAGE + "/approvals", data=sent | {"csrf": "0"}).status_code == 403
    assert browser.post(PAGE + "/approvals", data=sent, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert told.browser().post(PAGE + "/approvals", data=sent).status_code == 401


def test_who_may_not_approve_sees_no_form(told: Story) -> None:
    for actor in (ENGINEER, SCIENTIST, AUDITOR):
        page = read(told.browser(actor).get(PAGE).text)
        assert not [one for one in page.all("form") if one.get("action").endswith("/approvals")]


def test_a_refused_promotion_names_what_is_missing_and_stands_in_the_ledger(
    told: Story, cluster: EmbeddedDatabase
) -> None:
    browser = told.browser(SCIENTIST)
    sent = form(read(browser.get(PAGE).text), "/promotion") | {"because": "we are late"}
    refused = browser.post(PAGE + "/promotion", data=sent)
    sequence(told, cluster)
    ledger = told.browser(AUDITOR).get("/console/ledger", params={"refusals": "1"}).text

    assert refused.status_code == 403
    assert "This refusal was recorded in the ledger." in refused.text
    assert "version.refused" in ledger
    assert "dataset.registered" not in read(ledger).all("tbody")[0].text()


def test_the_whole_way_to_production_and_the_refusal_abroad(told: Story, cluster: EmbeddedDatabase) -> None:
    for actor in (VALIDATOR, OFFICER, APPROVER):
        told.approve(actor)
    if told.unmet():
        pytest.fail(f"the gate asks for more: {told.unmet()}")
    told.promote_and_deploy()
    sequence(told, cluster)
    page = read(told.browser(AUDITOR).get(PAGE).text)
    decisions = next(e for e in page.all("section") if e.get("id") == "residency").text()

    assert "It is in production; no endpoint serves it yet." in page.text()
    assert "ext-de" in decisions
    assert "Refused" in decisions
    assert "Allowed" in decisions
    assert "Requested" in page.text()


def test_an_entry_comes_with_its_bytes_and_a_proof_that_leads_to_the_root(told: Story) -> None:
    browser = told.browser(AUDITOR)
    text = read(browser.get("/console/ledger/2").text).text()

    assert '"index": 2' in text
    assert "Inclusion proof" in text
    assert browser.get("/console/ledger/99999").status_code == 404


def test_an_agent_is_shown_by_its_name_and_a_short_id_and_whole_in_the_entry(told: Story) -> None:
    browser, ref = told.browser(AUDITOR), told.agent.ref
    whole, short = ref.removeprefix("agent:"), f"{ref[6:14]}…{ref[-4:]}"
    rows = read(browser.get("/console/ledger").text).all("tbody")[0].all("tr")
    scanned = next(row for row in rows if "version.scanned" in row.text())
    enrolled = next(row for row in rows if "agent.enrolled" in row.text())
    page = read(browser.get(PAGE).text)
    header = next(e for e in page.all("article") if e.get("class") == "evaluation").text()
    entry = read(browser.get("/console/ledger/0").text)

    for text in (scanned.text(), enrolled.text(), header):
        assert "agent-1" in text
        assert f"agent in {ZONE}" in text
        assert short in text
        assert whole not in text
    assert [e for e in scanned.walk() if e.get("title") == ref]
    assert [a.get("href") for a in enrolled.all("a")][1] == addresses.ledger(resource=ref)
    assert "service:khatim" in entry.text()
    index = next(row for row in rows if "version.scanned" in row.text()).all("a")[0].get("href")
    assert ref in read(browser.get(index).text).text()


def test_signatures_name_who_signed(told: Story) -> None:
    told.approve(VALIDATOR)
    page = read(told.browser(AUDITOR).get(PAGE).text)
    table = next(t for t in page.all("table") if t.all("caption")[0].text() == "Signatures").text()

    assert "Yousef Haddad" in table
    assert "agent-1" in table


def test_who_may_not_read_the_ledger_gets_no_way_there(told: Story) -> None:
    browser = told.browser(ENGINEER)
    page = read(browser.get(PAGE).text)

    assert not [a for a in page.all("a") if a.get("href").startswith("/console/ledger")]
    assert browser.get("/console/ledger").status_code in (403, 404)


def test_what_does_not_exist_is_a_page_with_a_way_back(told: Story) -> None:
    answer = told.browser(AUDITOR).get("/console/models/oncology/absent/versions/1")

    assert answer.status_code == 404
    assert "To the models" in answer.text


@pytest.mark.parametrize(("path", "budget"), [("/console/models", 8), (PAGE, 33), ("/console/ledger", 9)])
def test_a_page_keeps_its_query_budget(told: Story, path: str, budget: int) -> None:
    browser = told.browser(AUDITOR)
    browser.get(path)
    asked: list[str] = []
    event.listen(told.wiring.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    browser.get(path)
    asked = [one for one in asked if not one.startswith("BEGIN")]

    assert len(asked) <= budget, "\n".join(asked)
