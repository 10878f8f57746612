"""Which release of Kafka answers at an address."""

from eventkit.kafka.checking.release import release_at
from tools.broker.errors import BrokerError


def release_of(address: str) -> str:
    """Return the release at `address` (host:port, or several with commas), such as "4.3".

    Raises:
        BrokerError: nothing answers there.
    """
    try:
        return release_at(address.split(",", maxsplit=1)[0])
    except (OSError, ValueError) as error:
        raise BrokerError(f"no Kafka answers at {address}: {error}") from error
