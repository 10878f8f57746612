"""What the errors of a PostgreSQL server mean to its user."""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import DBAPIError

from eventkit.errors import ReadModelBusy, ReadModelError, ReadModelUnavailable

_BUSY = {
    "55P03": "others kept a table or row locked for longer than the time-out",
    "40P01": "two transactions waited for each other's locks",
    "40001": "another transaction changed the same rows",
    "25P03": "this worker was idle within a batch for so long that the server ended its session",
}
_AWAY = ("08", "57P01", "57P02", "57P03", "53300")
"""Lost, shut down, crashed, not started yet, too many clients: it may be back in a moment."""
_UNAVAILABLE = {
    "53100": "cannot grow: its disk is full. Nothing of this batch was written; make room and run "
    "again.",
    "53200": "is out of memory. Nothing of this batch was written; run again when it has some.",
    "25006": "is read-only here: either it is a standby, or this went through "
    "ReadModels.connect(), which only reads.",
    "42501": "does not let this user do what projections need. Let the user create, read and "
    "write tables in the schema, and make temporary ones.",
    "57014": "stopped a statement that took too long. Nothing of this batch was written; where it "
    "needs the time, say so in the URL: ?options=-c%20statement_timeout=5min",
    "28": "does not let this user in. Mend user and password of the URL, or pg_hba.conf.",
    "3D": "does not exist. Make it: createdb NAME, or CREATE DATABASE.",
    "XX": "is damaged, or its disk fails. Read models can always be built again, in a new "
    "database.",
}
_REFUSED = {
    "password authentication failed": "28",
    "no password supplied": "28",
    "no pg_hba.conf entry": "28",
    'role "': "28",
    'database "': "3D",
    "too many": "53300",
    "starting up": "57P03",
    "shutting down": "57P03",
    "recovery": "57P03",
}
"""How a server refuses a connection: libpq hands on its words, and not its code."""


def translate(error: BaseException, where: str) -> ReadModelError | None:
    """Our error where the server is the cause, None where the statement is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return None
    code, said = cause.sqlstate or "", str(cause).strip().replace("\n", " ")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if not code and isinstance(cause, psycopg.OperationalError):
        code, lost = _code_of_refusal(said), True
    if code in _BUSY:
        return ReadModelBusy(
            f"{where}: {_BUSY[code]}; nothing of this batch was written. Run again. ({said})"
        )
    for known in (code, code[:2]):
        if known in _UNAVAILABLE:
            return ReadModelUnavailable(f"{where} {_UNAVAILABLE[known]} ({said})")
    if lost or code.startswith(_AWAY):
        failure = ReadModelUnavailable(
            f"{where} cannot be reached: is the server up, and are host and port right? Nothing is "
            f"lost; run again when it is back. ({said})"
        )
        failure.retryable = True
        return failure
    return None


def _code_of_refusal(said: str) -> str:
    refusal = said.partition("FATAL:")[2]
    if not refusal:
        return ""
    return next((code for words, code in _REFUSED.items() if words in refusal), "")
