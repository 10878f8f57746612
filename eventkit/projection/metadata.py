"""The tables that eventkit keeps beside the read models, each defined where it is used."""

from sqlalchemy import MetaData

METADATA = MetaData()
