"""`make broker`: Kafka in the foreground until Ctrl-C, with its data kept for the next time."""

import argparse
import signal
import sys
import time
from pathlib import Path

from tools.broker.cluster import FULL_SPEED, Cluster, Wanted
from tools.broker.errors import BrokerError
from tools.broker.from_jars import prepare, start_from_jars
from tools.broker.jars import CACHE, Jars

WATCH_SECONDS = 1


def main() -> None:
    """Run brokers as the arguments say; exit with 1 when one cannot start or ends by itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as a Ctrl-C does
    try:
        run(arguments())
    except BrokerError as error:
        sys.exit(f"broker: {error}")
    except KeyboardInterrupt:
        print("stopped; the data stays for the next start")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.broker", description=__doc__)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="how many")
    parser.add_argument("--port", type=int, default=9092, help="of the first; the others follow")
    parser.add_argument("--data", type=Path, help="folder of data and logs (default: in .kafka)")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    """Start the brokers and stay until Ctrl-C."""
    print("looking for Kafka's jars (Maven brings 44 MB the first time) ...", flush=True)
    jars = prepare()
    folder: Path = options.data or CACHE / f"brokers-{options.brokers}"
    wanted = Wanted(
        brokers=options.brokers,
        ports=range(options.port, options.port + options.brokers),
        java=FULL_SPEED,
    )
    with start_from_jars(folder, wanted, jars) as cluster:
        announce(cluster, jars, folder)
        try:
            watch(cluster)
        finally:
            cluster.stop_all()


def announce(cluster: Cluster, jars: Jars, folder: Path) -> None:
    """Say where the brokers are."""
    print(f"Kafka {jars.version} is up; data and logs are in {folder}")
    print(f"  kafka://{cluster.bootstrap}")
    print("Ctrl-C stops it.", flush=True)


def watch(cluster: Cluster) -> None:
    """Return never; raise when a broker has ended."""
    while True:
        for node in cluster.nodes.values():
            if not node.running:
                raise BrokerError(f"a broker ended by itself; see {node.log}")
        time.sleep(WATCH_SECONDS)


if __name__ == "__main__":
    main()
