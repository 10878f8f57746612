"""A command on versions that dies before each of its SQL statements in turn, a process each time.

`python -m tests.projection.dying_versions STORE MODELS COMMAND STEP`. The first process dies before
its first statement, the next one STEP statements later, until one comes to the end. After each
one a line tells what is left: the live version, whether its rows are whole, and the roles.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial

from sqlalchemy import event

from eventkit.projection import ReadModels, Runner, worker
from eventkit.projection.builds import builds_of
from eventkit.projection.versions_switch import drop, rollback, switch
from eventkit.sqlite import SqliteStore
from tests.projection.ledgers import Ledger2, expected, held

COMMANDS: dict[str, Callable[[SqliteStore, ReadModels], object]] = {
    "beside": lambda store, models: Runner(Ledger2(), store, models).rebuild_beside(),
    "switch": lambda _, models: switch(models, "ledger"),
    "rollback": lambda _, models: rollback(models, "ledger"),
    "drop": lambda _, models: drop(models, "ledger"),
}


def in_a_process(work: Callable[[], object]) -> int:
    """Do it in a fork of this process; returns how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the test reads it
            print(repr(error), flush=True)  # noqa: T201
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die_before(number: int, store: str, url: str, command: str) -> None:
    """Run the command up to its SQL statement of this number, commits counted too."""
    models = ReadModels(url)
    left = number

    def passed(*_args: object) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    event.listen(models._writer, "before_cursor_execute", passed)
    event.listen(models._writer, "commit", passed)
    event.listen(models._writer.pool, "checkin", passed)
    COMMANDS[command](SqliteStore(store), models)


def tell(store: str, url: str) -> None:
    """Say what is left."""
    with SqliteStore(store) as events, ReadModels(url) as models:
        with models.connect() as connection:
            builds = builds_of(connection, "ledger")
        (live,) = (version for version, build in builds.items() if build.role == "live")
        whole = held(models) == expected(events, live)
        roles = " ".join(f"{version}:{build.role}" for version, build in sorted(builds.items()))
        print(f"live {live} whole {whole} {roles}", flush=True)  # noqa: T201


def main(store: str, url: str, command: str, step: str) -> None:
    """Let processes die, each a bit later than the one before it."""
    worker._FIRST = worker._LARGEST = 10
    number, code = 0, -9
    while code == -9:
        code = in_a_process(partial(die_before, number, store, url, command))
        in_a_process(lambda: tell(store, url))
        number += int(step)
    print("ended", code, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
