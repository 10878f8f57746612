"""A user's module with the next version of a read model."""

from tests.kafka import ledger


class NextLedger(ledger.Ledger):
    version = 2
