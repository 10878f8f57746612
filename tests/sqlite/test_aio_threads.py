"""An awaitable store where threads cannot be started: what is open is closed all the same."""

import asyncio
from pathlib import Path

import pytest

from eventkit import aio
from eventkit.errors import StoreClosed
from eventkit.sqlite import SqliteStore
from tests.contract.domain import moves, places
from tests.threads import refuse


def test_it_is_closed_without_a_thread_of_its_own(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with aio.EventStore(store) as awaited:
            await awaited.append("parcel-1", moves("a"))
            refuse(monkeypatch, "eventkit close")

    asyncio.run(work())
    with pytest.raises(StoreClosed):
        store.append("parcel-1", moves("b"))


def test_reads_go_on_after_one_for_which_there_was_no_thread(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with aio.EventStore(store) as awaited:
            await awaited.append("parcel-1", moves("a"))
            refuse(monkeypatch, "eventkit reads", "eventkit bell")
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await awaited.get_events("parcel-1")
            assert places(await awaited.get_events("parcel-1")) == ["a"]
            events = awaited.subscribe()
            assert places([await anext(events)]) == ["a"]
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await anext(events)
            task = asyncio.create_task(anext(events))
            await awaited.append("parcel-1", moves("b"))
            assert places([await task]) == ["b"]

    asyncio.run(work())


@pytest.mark.parametrize("also", [[], ["eventkit close"]], ids=["one", "two"])
def test_what_was_opened_is_closed_where_appends_get_no_thread(
    file: Path, monkeypatch: pytest.MonkeyPatch, also: list[str]
) -> None:
    closed: list[SqliteStore] = []
    close = SqliteStore.close

    def noted(store: SqliteStore) -> None:
        close(store)
        closed.append(store)

    async def work() -> None:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await aio.connect(f"sqlite:///{file}")
        async with asyncio.timeout(10):
            while not closed:  # noqa: ASYNC110 - a thread closes it
                await asyncio.sleep(0.001)

    monkeypatch.setattr(SqliteStore, "close", noted)
    refuse(monkeypatch, "eventkit appends", *also)
    asyncio.run(work())
    assert len(closed) == 1
