"""What goes wrong with a broker."""


class BrokerError(Exception):
    """A broker could not be brought or started; the message says why and what to do."""


class NoBrokerHere(BrokerError):
    """This machine has nothing that could start a broker."""
