"""The tables that eventkit keeps beside the read models, each defined where it is used."""

from typing import Any

from sqlalchemy import Column, Integer, MetaData, String

METADATA = MetaData()


def place_columns() -> list[Column[Any]]:
    """The key of what is kept for each partition that a version of a projection reads."""
    return [
        Column("projection", String(100), primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("topic", String(249), primary_key=True),
        Column("partition", Integer, primary_key=True),
    ]
