"""A process that follows the log for a projection until SIGTERM, and logs why it ended.

python -m tests.torture.worker URL INDEX MODELS LOG NAME PROJECTION VERSION
"""

import logging
import sys
import traceback
from pathlib import Path

from eventkit import connect
from eventkit.cli.following import Stopping, follow
from eventkit.errors import EventkitError
from eventkit.projection import ReadModels, Runner
from tests.torture import bugs, failpoints
from tests.torture.history import Log
from tests.torture.read_models import projection_class

FAILED, BROKEN = 3, 4
"""Exit codes: it may go on when it is started again; it is a fault."""


def main() -> None:
    url, index, models_url, path, name, projection, version = sys.argv[1:]
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s {name} %(name)s %(levelname)s %(message)s"
    )
    bugs.plant()
    log = Log(Path(path), name)
    log.say("worker", projection=projection, version=int(version))
    failpoints.arm(f"{name} {path}")
    try:
        with connect(url, index=index) as store, ReadModels(models_url) as models:
            runner = Runner(projection_class(projection, int(version))(), store, models)
            stopping = Stopping()
            with stopping.noted():
                handled = follow({projection: runner}, stopping.next_round())
    except EventkitError as error:
        retryable = getattr(error, "retryable", False)
        log.say("ended", error=type(error).__name__, why=str(error), retryable=retryable)
        sys.exit(FAILED)
    except BaseException:  # noqa: BLE001 - the checker shows it
        log.say("broken", why=traceback.format_exc())
        sys.exit(BROKEN)
    log.say("drained", handled=handled)


if __name__ == "__main__":
    main()
