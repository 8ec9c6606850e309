# SPDX-License-Identifier: Apache-2.0
"""The ledger's public key stands beside the keys, for processes that may not look at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.instance import VKEY, Instance
from khatim.errors import Misconfigured


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = Instance(tmp_path / "data")
    made.prepare()
    return made


def test_who_signs_tells_the_key_and_who_does_not_needs_no_private_one(instance: Instance) -> None:
    signer = instance.ledger_signer("demo", 1)
    (instance.folder / "keys" / "ledger.pem").unlink()

    assert instance.ledger_verifier("demo").vkey == signer.vkey
    assert (instance.folder / VKEY).stat().st_mode & 0o777 == 0o644
    assert not (instance.folder / "keys" / "ledger.pem").exists()  # and none was made


def test_the_key_of_a_later_epoch_is_not_the_one_that_others_pin(instance: Instance) -> None:
    first = instance.ledger_signer("demo", 1).vkey
    instance.ledger_signer("demo", 2)

    assert instance.ledger_verifier("demo").vkey == first


def test_an_installation_from_before_the_file_gets_it(instance: Instance) -> None:
    signer = instance.ledger_signer("demo", 1)
    (instance.folder / VKEY).unlink()

    assert instance.ledger_verifier("demo").vkey == signer.vkey
    assert (instance.folder / VKEY).read_text() == signer.vkey + "\n"


def test_without_the_file_and_the_key_it_says_what_to_do(instance: Instance) -> None:
    instance.ledger_signer("demo", 1)
    (instance.folder / VKEY).unlink()
    key = instance.folder / "keys" / "ledger.pem"
    key.unlink()
    key.mkdir()  # unreadable also for root

    with pytest.raises(Misconfigured, match="cannot be read") as refused:
        instance.ledger_verifier("demo")
    assert "khatim up writes the file" in refused.value.advice


@pytest.mark.parametrize("text", ["", "nonsense", "ledger.demo.khatim+00000000+AAAA"])
def test_a_file_that_holds_no_key_is_refused(instance: Instance, text: str) -> None:
    instance.ledger_signer("demo", 1)
    (instance.folder / VKEY).write_text(text)

    with pytest.raises(Misconfigured, match="cannot be read"):
        instance.ledger_verifier("demo")


def test_the_key_of_another_ledger_is_refused(instance: Instance) -> None:
    instance.ledger_signer("demo", 1)

    with pytest.raises(Misconfigured, match="of another ledger"):
        instance.ledger_verifier("other")
