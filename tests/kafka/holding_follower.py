"""Opens a store, says so, and closes it when its input ends.

python -m tests.kafka.holding_follower ADDRESS PREFIX INDEX
"""

import sys

from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from tests.kafka.conftest import QUICK

address, prefix, index = sys.argv[1:]
with KafkaStore(KafkaSettings(address, QUICK), index=index, prefix=prefix):
    sys.stdout.write("open\n")
    sys.stdout.flush()
    sys.stdin.read()
