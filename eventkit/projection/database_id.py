"""What tells a database of read models from all others, so that two do not share one group."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, select, text

from eventkit.projection.read_models import ReadModels

_ID = Table("eventkit_database", MetaData(), Column("id", String(32), primary_key=True))
"""One row. It is no part of the tables that each database must have: earlier ones lack it."""

_OID = text("SELECT oid FROM pg_database WHERE datname = current_database()")
_LENGTH = 16


def database_id(models: ReadModels) -> str:
    """The same for all who write into a database, and another one for each database.

    Its row is made where it is missing. A copy of a database has the same row, so what tells the
    copy from its original counts as well.

    Raises:
        ReadModelError: the database cannot be written.
    """
    with models.building() as connection:
        _ID.metadata.create_all(connection)
        known = connection.execute(select(_ID.c.id)).scalar()
        if known is None:
            known = uuid4().hex
            connection.execute(insert(_ID).values(id=known))
        place = _place(connection, models)
    return hashlib.sha256(f"{known} {place}".encode()).hexdigest()[:_LENGTH]


def _place(connection: Connection, models: ReadModels) -> str:
    if models.dialect == "postgresql":
        return str(connection.execute(_OID).scalar())
    file = Path(str(connection.engine.url.database)).stat()
    return f"{file.st_dev} {file.st_ino}"
