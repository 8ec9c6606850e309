# SPDX-License-Identifier: Apache-2.0
"""The one mechanism: what is changed is asked for and told, what is refused is told, and nothing is half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors as database_errors
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from audit import ledger_tables
from audit.transaction import Transaction
from khatim.errors import (
    Forbidden,
    GateNotSatisfied,
    KhatimError,
    Malformed,
    NotFound,
    UnauthorizedChange,
    Unavailable,
    UnrecordedChange,
)
from khatim.vocabulary import NOBODY, Action, Actor, ActorKind, Resource, Role
from registry import queries, versions
from registry.events import ModelCreated
from registry.tables import Model
from tests.support.people import ADEL, DANA, SAMI
from tests.support.world import ZONE, World

MODEL = Resource("model", "malignancy", "oncology")


def model(tx: Transaction, name: str = "malignancy") -> Model:
    """Return a model that is not registered yet."""
    return Model(
        id=tx.new_id(),
        namespace="oncology",
        name=name,
        description="",
        tier=2,
        created_by=tx.actor.ref,
        created_at=tx.now,
    )


def create(world: World, name: str = "malignancy") -> None:
    """Register a model as the data scientist."""
    with world.parts.ledger.transaction(SAMI.actor) as tx:
        versions.create_model(tx, "oncology", name)


def count(world: World, table: str = "models") -> int:
    """Return how many rows a table has."""
    return int(world.sql(f"SELECT count(*) FROM {table}")[0][0])


# -- asked for, made, told --


def test_a_change_that_is_asked_for_and_told_is_committed_with_its_event(world: World) -> None:
    create(world)

    assert count(world) == 1
    [event] = world.told()
    assert event["kind"] == "model.created"
    assert event["actor"] == SAMI.ref
    assert event["resource"] == str(MODEL)
    assert event["entity"] == "tests"


def test_a_change_that_nobody_told_is_not_committed(world: World) -> None:
    with (
        pytest.raises(UnrecordedChange, match="model:oncology/malignancy") as raised,
        world.parts.ledger.transaction(SAMI.actor) as tx,
    ):
        tx.require(Action.VERSION_REGISTER, MODEL)
        tx.add(model(tx))

    assert raised.value.members["tables"] == ["Model"]
    assert (count(world), world.told()) == (0, [])


def test_an_event_about_something_else_does_not_cover_a_change(world: World) -> None:
    with pytest.raises(UnrecordedChange), world.parts.ledger.transaction(SAMI.actor) as tx:
        tx.require(Action.VERSION_REGISTER, MODEL)
        tx.add(model(tx))
        tx.record(ModelCreated(about="model:oncology/another", tier=2))

    assert (count(world), world.told()) == (0, [])


def test_an_event_covers_the_further_rows_that_it_names(world: World) -> None:
    with world.parts.ledger.transaction(SAMI.actor) as tx:
        tx.require(Action.VERSION_REGISTER, MODEL)
        tx.add(model(tx))
        tx.record(ModelCreated(about="namespace:oncology", also=(str(MODEL),), tier=2))

    assert count(world) == 1


def test_a_change_that_nobody_asked_for_is_not_committed(world: World) -> None:
    with pytest.raises(UnauthorizedChange, match="without asking"), world.parts.ledger.transaction(SAMI.actor) as tx:
        tx.add(model(tx))
        tx.record(ModelCreated(about=str(MODEL), tier=2))

    assert (count(world), world.told()) == (0, [])


def test_having_only_wondered_is_not_having_asked(world: World) -> None:
    with pytest.raises(UnauthorizedChange), world.parts.ledger.transaction(SAMI.actor) as tx:
        assert tx.may(Action.VERSION_REGISTER, MODEL)
        tx.add(model(tx))
        tx.record(ModelCreated(about=str(MODEL), tier=2))

    assert count(world) == 0


def test_a_changed_column_is_a_change(world: World) -> None:
    create(world)
    with pytest.raises(UnrecordedChange), world.parts.ledger.transaction(SAMI.actor) as tx:
        tx.require(Action.VERSION_REGISTER, MODEL)
        queries.model(tx, "oncology", "malignancy").description = "changed in passing"

    assert world.sql("SELECT description FROM models") == [("",)]


def test_a_changed_column_is_a_change_even_after_a_flush_in_between(world: World) -> None:
    create(world)
    with pytest.raises(UnrecordedChange), world.parts.ledger.transaction(SAMI.actor) as tx:
        tx.require(Action.VERSION_REGISTER, MODEL)
        row = queries.model(tx, "oncology", "malignancy")
        row.description = "changed in passing"
        tx.scalar(select(Model.description))  # flushes by itself
        row.description = ""

    assert world.sql("SELECT description FROM models") == [("",)]


def test_a_deleted_row_is_a_change(world: World) -> None:
    create(world)
    with pytest.raises(UnrecordedChange), world.parts.ledger.transaction(SAMI.actor) as tx:
        tx.remove(queries.model(tx, "oncology", "malignancy"))

    assert count(world) == 1


def test_setting_a_column_to_what_it_is_changes_nothing(world: World) -> None:
    create(world)
    with world.parts.ledger.transaction(SAMI.actor) as tx:
        row = queries.model(tx, "oncology", "malignancy")
        row.description = row.description

    assert world.kinds() == ["model.created"]


BULK: dict[str, Callable[[], Any]] = {
    "update": lambda: update(Model).values(description="x"),
    "delete": lambda: delete(Model),
    "insert": lambda: insert(Model).values(namespace="a", name="b"),
    "update of the table": lambda: update(Model.__table__).values(description="x"),  # type: ignore[arg-type]  # it is a Table
    "delete from the table": lambda: delete(Model.__table__),  # type: ignore[arg-type]  # it is a Table
    "insert into the table": lambda: insert(Model.__table__).values(namespace="a"),  # type: ignore[arg-type]  # a Table
    "text": lambda: text("UPDATE models SET description = 'x'"),
    "text with columns": lambda: text("UPDATE models SET description = 'x' RETURNING id").columns(Model.id),
    "text as rows": lambda: select(Model).from_statement(text("UPDATE models SET description = 'x' RETURNING *")),
    "a select that writes": lambda: select(update(Model).values(description="x").returning(Model.id).cte().c.id),
}


@pytest.mark.parametrize("statement", BULK.values(), ids=list(BULK))
def test_a_bulk_statement_on_a_governed_table_is_refused(world: World, statement: Callable[[], Any]) -> None:
    create(world)
    with pytest.raises(UnrecordedChange, match="bulk"), world.parts.ledger.transaction(SAMI.actor) as tx:
        tx.require(Action.VERSION_REGISTER, MODEL)
        tx.execute(statement())
        tx.record(ModelCreated(about=str(MODEL), tier=2))

    assert world.sql("SELECT description FROM models") == [("",)]


# -- refused --


def test_what_the_actor_may_not_do_to_a_visible_thing_is_forbidden_and_recorded(world: World) -> None:
    with pytest.raises(Forbidden), world.parts.ledger.transaction(DANA.actor) as tx:
        tx.require(Action.VERSION_REGISTER, MODEL)

    [event] = world.refusals()
    assert event["kind"] == "version.refused"
    assert event["actor"] == DANA.ref
    assert event["resource"] == str(MODEL)
    assert event["namespace"] == "oncology"
    assert event["payload"]["action"] == "version.register"
    assert event["payload"]["error"] == "forbidden"
    assert event["payload"]["members"]["rule"] == "roles.csv:default"
    assert event["payload"]["members"]["policy"].startswith("sha256:")


def test_what_the_actor_may_not_even_see_is_not_there_for_them_and_recorded_all_the_same(world: World) -> None:
    stranger = Actor("p-stranger", ActorKind.PERSON)
    with (
        pytest.raises(NotFound, match="does not exist or is not visible") as raised,
        world.parts.ledger.transaction(stranger) as tx,
    ):
        tx.require(Action.VERSION_REGISTER, MODEL)

    assert "role" not in raised.value.detail
    [event] = world.refusals()
    assert event["payload"]["error"] == "forbidden"
    assert event["actor"] == "p-stranger"


def test_a_read_of_what_is_invisible_is_recorded(world: World) -> None:
    stranger = Actor("p-stranger", ActorKind.PERSON)
    with pytest.raises(NotFound), world.parts.ledger.reading(stranger) as reader:
        reader.require(Action.READ, MODEL)

    assert [event["kind"] for event in world.refusals()] == ["read.refused"]


def test_what_does_not_exist_is_no_refusal(world: World) -> None:
    with pytest.raises(NotFound), world.parts.ledger.reading(SAMI.actor) as reader:
        queries.model(reader, "oncology", "nothing")

    assert world.told() == []


def test_a_refusal_takes_back_what_the_transaction_had_done(world: World) -> None:
    with pytest.raises(GateNotSatisfied), world.parts.ledger.transaction(SAMI.actor) as tx:
        versions.create_model(tx, "oncology", "malignancy")
        raise GateNotSatisfied("not yet", rule="production/evaluated")

    assert count(world) == 0
    [event] = world.told()
    assert event["kind"] == "version.refused"
    assert event["payload"]["detail"] == "not yet"
    assert event["payload"]["members"] == {"rule": "production/evaluated"}


def test_an_ordinary_error_takes_everything_back_and_is_no_refusal(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.parts.ledger.transaction(SAMI.actor) as tx:
        versions.create_model(tx, "oncology", "malignancy")
        raise ZeroDivisionError

    assert (count(world), world.told()) == (0, [])


def test_a_stranger_cannot_fill_the_ledger_with_refusals(world: World) -> None:
    with pytest.raises(NotFound), world.parts.ledger.transaction(NOBODY) as tx:
        tx.require(Action.READ, MODEL)

    assert world.told() == []


def test_a_permission_that_was_denied_and_then_swallowed_is_recorded_with_the_error_that_follows(world: World) -> None:
    def hide(tx: Transaction) -> None:
        try:
            tx.require(Action.LEDGER_READ, Resource("ledger", "ledger"))
        except KhatimError:
            raise Malformed("something else") from None

    with pytest.raises(Malformed), world.parts.ledger.transaction(DANA.actor) as tx:
        hide(tx)

    assert [event["payload"]["action"] for event in world.refusals()] == ["ledger.read"]


# -- reading --


def test_a_reader_has_no_way_to_write(world: World) -> None:
    with world.parts.ledger.reading(SAMI.actor) as reader:
        assert not {"add", "execute", "remove", "record", "lock"} & set(dir(reader))


def test_the_database_keeps_a_reader_from_writing(world: World) -> None:
    create(world)
    with pytest.raises(DBAPIError) as raised, world.parts.ledger.reading(SAMI.actor) as reader:
        reader.scalar(select(update(Model).values(description="x").returning(Model.id).cte().c.id))
    assert isinstance(raised.value.orig, database_errors.ReadOnlySqlTransaction)

    with pytest.raises(database_errors.ReadOnlySqlTransaction), world.parts.ledger.reading(SAMI.actor) as reader:
        reader.connection().execute("UPDATE models SET description = 'x'")


def test_a_reader_sees_one_moment(world: World) -> None:
    with world.parts.ledger.reading(SAMI.actor) as reader:
        before = len(list(reader.scalars(select(Model))))
        create(world)
        assert len(list(reader.scalars(select(Model)))) == before


# -- nothing half done --


def test_a_commit_that_fails_leaves_neither_row_nor_event(world: World) -> None:
    owner = world.url("khatim_owner")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RAISE 'no' USING ERRCODE = '23514'; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON models DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION no()"
        )
    with pytest.raises((DBAPIError, KhatimError)):
        create(world)

    assert (count(world), world.told()) == (0, [])


def test_a_database_that_dies_before_the_commit_keeps_nothing_half_done(world: World) -> None:
    with pytest.raises((DBAPIError, Unavailable)), world.parts.ledger.transaction(SAMI.actor) as tx:
        versions.create_model(tx, "oncology", "malignancy")
        tx.seal()
        world.postgres.hang_up(world.database)

    assert (count(world), world.told()) == (0, [])
    create(world)
    assert world.kinds() == ["model.created"]


def test_two_transactions_that_take_the_same_lock_follow_each_other(world: World) -> None:
    ledger = world.parts.ledger
    with ledger.transaction(SAMI.actor) as first:
        first.lock("model:oncology/malignancy")
        with ledger.transaction(SAMI.actor) as second:
            taken = second.scalar(
                select(text("pg_try_advisory_xact_lock(hashtextextended('model:oncology/malignancy', 0))"))
            )
            assert taken is False


@pytest.mark.parametrize("table", [one.name for one in (*ledger_tables.SEALED, ledger_tables.outbox)])
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_the_service_cannot_change_the_ledger_in_the_migrated_schema(world: World, table: str, change: str) -> None:
    columns = {one.name: list(one.columns)[1].name for one in (*ledger_tables.SEALED, ledger_tables.outbox)}
    statement = change.format(table, f'"{columns[table]}"')
    with (
        psycopg.connect(world.url("khatim_service")) as connection,
        pytest.raises(database_errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_the_service_cannot_change_the_schema_or_write_entries(world: World) -> None:
    for statement in (
        b"DROP TABLE models",
        b"ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
        b"CREATE TABLE x (y int)",
    ):
        with (
            psycopg.connect(world.url("khatim_service")) as connection,
            pytest.raises(database_errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


def test_what_was_recorded_takes_its_place_in_the_ledger_in_order(world: World) -> None:
    create(world, "first")
    create(world, "second")
    with pytest.raises(Forbidden), world.parts.ledger.transaction(DANA.actor) as tx:
        tx.require(Action.VERSION_REGISTER, MODEL)
    world.sequence()

    found = world.sql('SELECT "index", kind, resource FROM ledger_entries ORDER BY "index"')
    assert found[1:] == [
        (1, "model.created", "model:oncology/first"),
        (2, "model.created", "model:oncology/second"),
        (3, "version.refused", "model:oncology/malignancy"),
    ]


def test_an_agent_acts_in_its_own_zone_only(world: World) -> None:
    elsewhere = Actor("agent:1", ActorKind.AGENT, frozenset({Role.AGENT}), "ext-de")
    with pytest.raises(NotFound), world.parts.ledger.transaction(elsewhere) as tx:
        tx.require(Action.JOB_CLAIM, Resource("zone", ZONE, zone=ZONE))

    assert world.refusals()[0]["payload"]["members"]["rule"] == "access.conf:own-zone"


def test_an_auditor_changes_nothing_also_by_another_role(world: World) -> None:
    both = ADEL.also(Role.DATA_SCIENTIST)
    with pytest.raises(Forbidden), world.parts.ledger.transaction(both.actor) as tx:
        versions.create_model(tx, "oncology", "malignancy")

    assert count(world) == 0
