"""A process that was made by `fork()` and the index of its parent."""

import subprocess
import sys
from pathlib import Path

from eventkit.kafka.names import Names
from tests.kafka.clients import SECONDS

# The child ends as Python ends, but for librdkafka's clients: they have no threads there.
FORKS = """
import atexit, os, sys
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from tests.contract.domain import moves, places
from tests.kafka.conftest import QUICK

with KafkaStore(KafkaSettings(sys.argv[1], QUICK), prefix=sys.argv[2]) as store:
    store.append("parcel-1", moves("a"))
    child = os.fork()
    if child == 0:
        store.close()
        atexit._run_exitfuncs()
        os._exit(0)
    os.waitpid(child, 0)
    assert store._path.exists()
    store.append("parcel-1", moves("b"), expected_version=1)
    print(*places(store.get_events("parcel-1")), store._path.parent)
"""


def test_an_index_in_a_temporary_folder_outlives_a_forked_process(
    kafka_address: str, names: Names
) -> None:
    command = [sys.executable, "-c", FORKS, kafka_address, names.prefix]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    *found, folder = done.stdout.split()
    assert found == ["a", "b"]
    assert not Path(folder).exists()


SHARES = """
import os, sys
from pathlib import Path
from eventkit.errors import StoreUnavailable
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from tests.contract.domain import moves, places
from tests.kafka.conftest import QUICK

def opened(index):
    return KafkaStore(KafkaSettings(sys.argv[1], QUICK), prefix=sys.argv[2], index=Path(index))

with opened(sys.argv[3]) as store:
    store.append("parcel-1", moves("a"))
    child = os.fork()
    if child == 0:
        try:
            opened(sys.argv[3])
        except StoreUnavailable as error:
            print(error, flush=True)
        with opened(sys.argv[4]) as own:
            own.append("parcel-1", moves("b"), expected_version=1)
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    store.append("parcel-1", moves("c"), expected_version=2)
    print(*places(store.get_events("parcel-1")))
"""


def test_a_forked_process_has_an_index_of_its_own(
    kafka_address: str, names: Names, tmp_path: Path
) -> None:
    shared, own = tmp_path / "shared.db", tmp_path / "own.db"
    command = [sys.executable, "-c", SHARES, kafka_address, names.prefix, str(shared), str(own)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    refused, found = done.stdout.splitlines()
    assert refused.startswith(f"{shared} was open in the process that this one was forked from")
    assert found == "a b c"
