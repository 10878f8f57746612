"""`python -m tools.postgres`: PostgreSQL in the foreground until Ctrl-C, its data kept."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from tools.postgres.errors import PostgresError
from tools.postgres.local_server import LocalServer
from tools.postgres.programs import INSTALL, find_programs

WATCH_SECONDS = 1


def main() -> None:
    """Run a server as the arguments say; exit with 1 when it cannot start or ends by itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as a Ctrl-C does
    parser = argparse.ArgumentParser(prog="python -m tools.postgres", description=__doc__)
    parser.add_argument("--port", type=int, default=5432, help="on 127.0.0.1 (default: 5432)")
    parser.add_argument("--data", type=Path, help="folder of data and log (default: a new one)")
    options = parser.parse_args()
    try:
        run(options.port, options.data)
    except PostgresError as error:
        sys.exit(f"postgres: {error}")
    except KeyboardInterrupt:
        print("stopped")


def run(port: int, data: Path | None) -> None:
    """Start the server and stay until Ctrl-C."""
    programs = find_programs()
    if programs is None:
        raise PostgresError(f"there is no initdb here. On Debian or Ubuntu: {INSTALL}")
    server = LocalServer(programs, data and Path(os.path.abspath(data)), port)  # noqa: PTH100 - links stay
    try:
        server.start()
        print(f"PostgreSQL is up; data and log are in {server.log.parent}")
        print(f"  {server.url}\nCtrl-C stops it.", flush=True)
        while server.running:
            time.sleep(WATCH_SECONDS)
        raise PostgresError(f"the server ended by itself; see {server.log}")
    finally:
        server.close()


if __name__ == "__main__":
    main()
