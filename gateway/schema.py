# SPDX-License-Identifier: Apache-2.0
"""The database schema: migrated at start, checked against the tables in CI."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, text

from khatim.errors import Misconfigured

ROOT = Path(__file__).parent.parent


def _config() -> Config:
    return Config(str(ROOT / "alembic.ini"))


def migrate(owner_url: str) -> None:
    """Bring the database to the newest schema; does nothing when it is there."""
    engine = create_engine(owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    config = _config()
    head = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection:
        known = connection.execute(text("SELECT to_regclass('alembic_version')")).scalar()
        current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if known else None
        connection.rollback()
        if current != head:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    engine.dispose()


def behind(owner_url: str) -> str:
    """Return in words what the schema lacks, empty when it is the newest; changes nothing."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    engine = create_engine(owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        with engine.connect() as connection:
            known = connection.execute(text("SELECT to_regclass('alembic_version')")).scalar()
            current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if known else None
    finally:
        engine.dispose()
    return "" if current == head else f"the schema is {current or 'not there'}, this version wants {head}"


def check(owner_url: str) -> None:
    """Raise `Misconfigured` when tables and migrations differ, or when there is more than one head."""
    config = _config()
    heads = ScriptDirectory.from_config(config).get_heads()
    if len(heads) != 1:
        raise Misconfigured(f"there must be one migration head, not {heads}")
    engine = create_engine(owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        try:
            command.check(config)
        except CommandError as error:
            raise Misconfigured(str(error)) from error
    engine.dispose()


def draft(owner_url: str, message: str) -> None:
    """Write a migration draft from the difference between database and tables; read it before you commit it."""
    config = _config()
    engine = create_engine(owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.revision(config, message, autogenerate=True)
    engine.dispose()
