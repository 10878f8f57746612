"""The same names, awaitable: `from eventkit import aio`.

One core: appends of all tasks are gathered and written by the store that also serves threads
(appending.py), everything else runs in a few threads (pool.py), and results come back to the loop
of who asked (mailbox.py). Nothing here knows how events are stored.
"""

from eventkit.aio.connection import connect
from eventkit.aio.repository import Repository
from eventkit.aio.store import EventStore, SnapshotStore
from eventkit.aio.subscribing import Subscription

__all__ = ["EventStore", "Repository", "SnapshotStore", "Subscription", "connect"]
