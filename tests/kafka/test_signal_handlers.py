"""A signal handler that closes a store on Kafka in the middle of an append: the process ends."""

import signal
import subprocess
import sys
from time import sleep

import pytest

from eventkit.kafka.direct import DirectStore
from eventkit.kafka.names import Names
from eventkit.kafka.store import KafkaStore
from tests.contract.domain import moves
from tests.kafka.clients import SECONDS
from tests.unit.source import ROOT

KILLS = 3

# Prints the version of each append that returned. Without an index, the first append makes one.
APPENDING = """
import signal, sys
from eventkit.kafka.direct import DirectStore
from eventkit.kafka.store import KafkaStore
from tests.contract.domain import moves

def stop(*_):
    store.close()
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
address, prefix, manner = sys.argv[1:]
make = DirectStore if manner == "direct" else KafkaStore
store = make(address, prefix=prefix)
print("open", flush=True)
while True:
    done = store.append("parcel-1", moves("x"))
    sys.stdout.write(f"{done.version}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("manner", ["index", "direct"])
def test_a_handler_that_closes_the_store_ends_the_process(
    kafka_address: str, names: Names, manner: str
) -> None:
    for number in range(KILLS):
        command = [sys.executable, "-c", APPENDING, kafka_address, names.prefix, manner]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            sleep(0.07 * number)
            process.send_signal(signal.SIGTERM)
            try:
                said, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0
        with KafkaStore(kafka_address, prefix=names.prefix) as store:
            version = len(store.get_events("parcel-1"))
        assert version >= max(map(int, said.split()), default=0)


def test_a_close_that_an_interrupt_ended_is_finished_by_the_next(
    kafka_address: str, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = DirectStore(kafka_address, prefix=names.prefix)
    outer.append("parcel-1", moves("x"))
    store = outer._indexed
    assert store is not None
    file, threads = store._path, [store._following._thread, store._proposals._thread]
    with monkeypatch.context() as patch:
        patch.setattr(store._helper, "close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            outer.close()
    assert file.exists()
    outer.close()
    assert not file.exists()
    assert not any(thread.is_alive() for thread in threads)
    outer.close()


def interrupted() -> None:
    """What a call does that Ctrl-C ends."""
    raise KeyboardInterrupt
