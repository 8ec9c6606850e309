# SPDX-License-Identifier: Apache-2.0
"""What the database's driver raises, in our own words; what is our own fault stays as it is and becomes a 500."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import DiskFull, ForeignKeyViolation, InsufficientPrivilege, UniqueViolation
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from khatim.errors import Conflict, Forbidden, Malformed, RegistryFull, Unavailable


@contextmanager
def translated() -> Iterator[None]:
    """Raise `Malformed`, `Conflict`, `Forbidden`, `RegistryFull` or `Unavailable` for what the driver raises inside."""
    try:
        yield
    except DataError as wrong:
        raise Malformed(
            "a text or number in the request is none that can be stored (a NUL, or far too large)"
        ) from wrong
    except IntegrityError as wrong:
        if not isinstance(wrong.orig, (UniqueViolation, ForeignKeyViolation)):
            raise
        raise Conflict("somebody else was faster: this exists by now", advice="Look at it and try again.") from wrong
    except ProgrammingError as wrong:
        if not (isinstance(wrong.orig, InsufficientPrivilege) and "row-level security" in str(wrong.orig)):
            raise
        raise Forbidden(
            "the database keeps this row from you: it belongs to another entity", rule="isolation"
        ) from wrong
    except (OperationalError, InterfaceError) as lost:
        if isinstance(lost.orig, DiskFull):  # 53100: also from a disk that we cannot look at ourselves
            raise RegistryFull("the database has no room left on its disk") from lost
        raise Unavailable("the database does not answer", advice="Try again in a moment.") from lost
