"""The Kafka that tests run against: chosen once, started when the first test asks for it.

In this order: the address given by `--kafka` or EVENTKIT_TEST_KAFKA, Docker, Kafka's jars.
"""

import os
from collections.abc import Iterator

import pytest

from tests.kafka.release import release_of
from tools.broker.cluster import Cluster, Wanted
from tools.broker.errors import BrokerError
from tools.broker.sources import Source, choose

# Fixtures that need brokers which a test may break: never those at a given address.
BREAKABLE = {"broker", "three_brokers", "secure_broker"}

# Those that only a few tests need: ended with the last of these, for a broker without work is busy.
FEW_NEED = {"three_brokers", "secure_broker"}

# The users of `secure_broker`; each may do what the ACLs of a test allow.
USERS = ("writer", "reader", "worker", "operator", "stranger")


class Brokers:
    """The brokers of one test run: each cluster stays from the first test that asks for it on.

    Args:
        address: of a broker that runs already; None starts one.
    """

    def __init__(self, address: str | None) -> None:
        self.address = address
        self._source: Source | None = None
        self._problem: BrokerError | None = None
        self._clusters: dict[str, Cluster] = {}

    def source(self) -> Source:
        """Return what starts brokers here, ready to do so.

        Raises:
            BrokerError: nothing does; the same error each time, found out once.
        """
        if self._problem:
            raise self._problem
        try:
            if self._source is None:
                source = choose()
                source.prepare()
                self._source = source
        except BrokerError as error:
            self._problem = error
            raise
        return self._source

    def describe(self, wanted: set[str]) -> list[str]:
        """Return what the fixtures in `wanted` will give, and bring what they need."""
        lines = []
        try:
            if self.address and "kafka_address" in wanted:
                lines.append(f"kafka: Kafka {release_of(self.address)} at {self.address}")
            if wanted & BREAKABLE or not self.address:
                lines.append(f"kafka: {self.source().name}")
        except BrokerError as error:
            lines.append(f"kafka: {error}")
        return lines

    def cluster(self, name: str, wanted: Wanted, tmp: pytest.TempPathFactory) -> Cluster:
        """Return the cluster called `name`, started as `wanted` if it is not there yet."""
        if name not in self._clusters:
            problem = ""
            try:
                folder = tmp.mktemp(f"kafka-{name}-")
                self._clusters[name] = self.source().start(folder, wanted)
            except BrokerError as error:
                problem = str(error)
            if problem:  # not inside `except`: the reason would be shown twice
                pytest.fail(problem, pytrace=False)
        return self._clusters[name]

    def end(self, name: str) -> None:
        """End the cluster called `name`, if it was started."""
        if name in self._clusters:
            self._clusters.pop(name).close()

    def close(self) -> None:
        """End all brokers that were started."""
        for name in list(self._clusters):
            self.end(name)


BROKERS = pytest.StashKey[Brokers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka",
        metavar="HOST:PORT",
        default=os.environ.get("EVENTKIT_TEST_KAFKA"),
        help="run the Kafka tests against this broker (also EVENTKIT_TEST_KAFKA); "
        "without it, one is started by Docker or from Kafka's jars",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BROKERS] = Brokers(config.getoption("--kafka"))


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[BROKERS].close()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """The same as `pytest_report_collectionfinish`, where other processes collect and run."""
    if not config.getoption("numprocesses", None):
        return []
    return config.stash[BROKERS].describe({"kafka_address", *BREAKABLE})


def breakable_of(item: pytest.Item | None) -> set[str]:
    """The brokers that a test may break."""
    return BREAKABLE.intersection(getattr(item, "fixturenames", ()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What breaks brokers comes first, one kind of brokers after the other, each in one process.

    A killed broker reads all its logs as it comes back: that takes seconds once many tests have
    left theirs. And not each process starts three.
    """
    for item in items:
        if wanted := breakable_of(item):
            item.add_marker(pytest.mark.xdist_group(max(wanted)))
    items.sort(key=lambda item: max(breakable_of(item), default=""), reverse=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End brokers that few tests need once these are done."""
    try:
        yield
    finally:
        for name in FEW_NEED & breakable_of(item) - breakable_of(nextitem):
            item.config.stash[BROKERS].end(name)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Say which Kafka the tests get, if any needs one.

    What may take minutes (Maven, a pull of the image) happens here: a fixture's time is counted as
    its test's.
    """
    asked = {name for item in items for name in getattr(item, "fixturenames", ())}
    wanted = asked & {"kafka_address", *BREAKABLE}
    if not wanted or config.option.collectonly:
        return []
    return config.stash[BROKERS].describe(wanted)


@pytest.fixture(scope="session")
def brokers(pytestconfig: pytest.Config) -> Brokers:
    """The run's brokers."""
    return pytestconfig.stash[BROKERS]


@pytest.fixture(scope="session")
def kafka_address(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> str:
    """host:port of a broker that the whole run shares: use topics and groups of your own."""
    if brokers.address is None:
        return brokers.cluster("one", Wanted(), tmp_path_factory).bootstrap
    try:
        release_of(brokers.address)
    except BrokerError as error:
        pytest.fail(str(error), pytrace=False)
    return brokers.address


@pytest.fixture
def broker(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker that the test may kill, freeze and restart; afterwards it runs again."""
    cluster = brokers.cluster("one", Wanted(), tmp_path_factory)
    yield cluster
    cluster.heal()


@pytest.fixture
def three_brokers(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers that the test may kill, freeze and restart; afterwards all run again."""
    cluster = brokers.cluster("three_brokers", Wanted(brokers=3), tmp_path_factory)
    yield cluster
    cluster.heal()


@pytest.fixture
def secure_broker(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker with a TLS listener that asks for a password, and users who may do nothing yet."""
    cluster = brokers.cluster("secure_broker", Wanted(users=USERS), tmp_path_factory)
    yield cluster
    cluster.heal()
