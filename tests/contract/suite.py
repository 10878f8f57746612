"""The whole suite as one class."""

from tests.contract.appending import AppendContract
from tests.contract.concurrency import ConcurrencyContract
from tests.contract.lifetime import LifetimeContract
from tests.contract.metadata import MetadataContract
from tests.contract.model import ModelContract
from tests.contract.reading import ReadContract
from tests.contract.replaying import ReplayContract
from tests.contract.retrying import RetryContract
from tests.contract.snapshots import SnapshotContract
from tests.contract.subscribing import SubscribeContract
from tests.contract.together import TogetherContract
from tests.contract.types import EventTypeContract
from tests.contract.waiting import WaitContract


class StoreContract(
    AppendContract,
    ReadContract,
    MetadataContract,
    ReplayContract,
    SubscribeContract,
    WaitContract,
    EventTypeContract,
    RetryContract,
    TogetherContract,
    ConcurrencyContract,
    SnapshotContract,
    LifetimeContract,
    ModelContract,
):
    """All a store has to do."""
