"""What every awaitable store does when thousands of tasks meet at it, and when they go away."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventkit import (
    Aggregate,
    AggregateNotFound,
    Append,
    Appended,
    ConcurrencyError,
    DuplicateEventId,
    Event,
    EventStore,
    Position,
    RecordedEvent,
    aio,
)
from eventkit.errors import InvalidInput, StoreClosed
from tests.aio_kit import first
from tests.contract.domain import (
    OpenStore,
    Parcel,
    ParcelMoved,
    by_aggregate,
    moves,
    places,
    versions,
)
from tests.contract.lifetime import CHANGES_HISTORY


def assert_whole(store: EventStore, told: Iterable[Appended], asked: int) -> list[RecordedEvent]:
    """See that versions are 1, 2, 3 ..., and that what was told is there, and nothing twice."""
    recorded = list(store.replay())
    for items in by_aggregate(recorded).values():
        assert versions(items) == [*range(1, len(items) + 1)]
    found = {item.event_id: (item.aggregate_id, item.version, item.position) for item in recorded}
    assert len(found) == len(recorded) <= asked
    for done in told:
        assert found[done.event_ids[-1]] == (done.aggregate_id, done.version, done.position)
    return recorded


class AioContract:
    def test_five_thousand_appends_at_once_need_no_threads(self, open_store: OpenStore) -> None:
        async def work() -> list[Appended]:
            async with aio.EventStore(open_store()) as store:
                threads = threading.active_count()
                tasks = [
                    asyncio.create_task(store.append(f"parcel-{n % 100}", moves(str(n))))
                    for n in range(5_000)
                ]
                done = await asyncio.gather(*tasks)
                assert threading.active_count() < threads + 10  # the store may start some, too
                return done

        done = asyncio.run(work())
        with open_store() as store:
            recorded = assert_whole(store, done, 5_000)
        assert sorted(places(recorded), key=int) == [str(n) for n in range(5_000)]
        assert Counter(it.aggregate_id for it in done) == {f"parcel-{n}": 50 for n in range(100)}

    def test_the_appends_of_one_task_keep_their_order(self, open_store: OpenStore) -> None:
        async def task(store: aio.EventStore, name: int) -> None:
            for turn in range(10):
                await store.append("parcel-1", moves(f"{name}.{turn}"))

        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                await asyncio.gather(*(task(store, name) for name in range(20)))
                found = places(await store.get_events("parcel-1"))
            for name in range(20):
                own = [place for place in found if place.startswith(f"{name}.")]
                assert own == [f"{name}.{turn}" for turn in range(10)]

        asyncio.run(work())

    def test_of_appends_that_expect_the_same_version_one_wins(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                for version in range(5):
                    asked = [
                        store.append("parcel-1", moves(str(n)), expected_version=version)
                        for n in range(50)
                    ]
                    results = await asyncio.gather(*asked, return_exceptions=True)
                    lost = [it for it in results if isinstance(it, ConcurrencyError)]
                    assert len(lost) == 49
                    assert {(it.aggregate_id, it.expected) for it in lost} == {
                        ("parcel-1", version)
                    }
                    assert {it.actual for it in lost} == {version + 1}
                    assert len({id(it) for it in lost}) == 49  # each task has an error of its own

        asyncio.run(work())

    @pytest.mark.parametrize("seed", [1, 2])
    def test_a_storm_of_cancellations_leaves_a_sound_log(
        self, open_store: OpenStore, seed: int
    ) -> None:
        random = Random(seed)  # noqa: S311 - a repeatable choice
        told: list[Appended] = []
        untold: list[tuple[str, UUID]] = []

        async def one(store: aio.EventStore, number: int, event_id: UUID) -> None:
            aggregate_id = f"parcel-{number % 40}"
            event = moves(str(number))
            if number % 3:
                done = await store.append(aggregate_id, event, event_ids=[event_id])
            else:
                async with asyncio.timeout(random.random() * 0.05):
                    done = await store.append(aggregate_id, event, event_ids=[event_id])
            told.append(done)
            untold.remove((aggregate_id, event_id))

        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                tasks: list[asyncio.Task[None]] = []
                for number in range(3_000):
                    untold.append((f"parcel-{number % 40}", uuid4()))
                    tasks.append(asyncio.create_task(one(store, number, untold[-1][1])))
                    if random.random() < 0.3:
                        random.choice(tasks[-100:]).cancel()
                    if random.random() < 0.02:
                        await asyncio.sleep(random.random() * 0.01)
                results = await asyncio.gather(*tasks, return_exceptions=True)
                kinds = {type(it) for it in results if it is not None}
                assert kinds <= {asyncio.CancelledError, TimeoutError}
                assert len(told) > 100
                assert len(untold) > 100
                assert_whole(store.sync, told, 3_000)
                # A retry tells the outcome, and writes nothing twice.
                for aggregate_id, event_id in untold[:50]:
                    known = {it.event_id: it for it in await store.get_events(aggregate_id)}
                    place = known[event_id].event if event_id in known else ParcelMoved(place="x")
                    done = await store.append(aggregate_id, [place], event_ids=[event_id])
                    assert done.already_recorded == (event_id in known)
                assert_whole(store.sync, told, 3_000)

        asyncio.run(work())

    def test_two_loops_in_two_threads_share_a_store(self, open_store: OpenStore) -> None:
        store = aio.EventStore(open_store())
        done: list[Appended] = []

        async def work(name: int) -> None:
            asked = (store.append(f"parcel-{n % 7}", moves(f"{name}.{n}")) for n in range(300))
            done.extend(await asyncio.gather(*asked))
            assert len(await store.get_events("parcel-1")) > 40

        threads = [
            threading.Thread(target=lambda name=name: asyncio.run(work(name))) for name in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(done) == 600
        assert len(assert_whole(store.sync, done, 600)) == 600
        asyncio.run(store.close())

    def test_a_store_outlives_a_loop_that_is_closed_over_its_appends(
        self, open_store: OpenStore
    ) -> None:
        store = aio.EventStore(open_store())
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(store.append("parcel-1", moves(str(n)))) for n in range(50)]
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        del tasks, task

        async def work() -> int:
            async with store:
                done = await store.append("parcel-1", moves("last"))
                assert_whole(store.sync, [done], 51)
                return done.version

        assert 1 <= asyncio.run(work()) <= 51

    def test_a_close_drains_what_was_accepted_and_refuses_the_rest(
        self, open_store: OpenStore
    ) -> None:
        told: list[Appended] = []
        enough = asyncio.Event()

        async def task(store: aio.EventStore, name: int) -> None:
            with suppress(StoreClosed):
                while True:
                    told.append(await store.append(f"parcel-{name}", moves("a")))
                    if len(told) >= 300:
                        enough.set()

        async def work() -> None:
            store = aio.EventStore(open_store())
            tasks = [asyncio.create_task(task(store, name)) for name in range(200)]
            await asyncio.wait_for(enough.wait(), 30)
            await asyncio.gather(store.close(), store.close())
            await asyncio.wait_for(asyncio.gather(*tasks), 30)
            await store.close()

        asyncio.run(work())
        with open_store() as store:
            assert len(assert_whole(store, told, len(told))) == len(told)

    def test_a_close_that_is_cancelled_goes_on(self, open_store: OpenStore) -> None:
        async def work() -> None:
            store = aio.EventStore(open_store())
            await store.append("parcel-1", moves("a"))
            closing = asyncio.create_task(store.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await store.close()
            with pytest.raises(StoreClosed):
                store.sync.get_events("parcel-1")

        asyncio.run(work())

    def test_errors_are_those_of_every_store(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                done = await store.append("parcel-1", moves("a"))
                with pytest.raises(DuplicateEventId) as taken:
                    await store.append("parcel-2", moves("b"), event_ids=done.event_ids)
                assert (taken.value.aggregate_id, taken.value.version) == ("parcel-1", 1)
                with pytest.raises(InvalidInput):
                    await store.append("parcel-1", [])
                with pytest.raises(TypeError):
                    await store.append("parcel-1", None)  # type: ignore[arg-type]
                with pytest.raises(InvalidInput):
                    await first(store.replay(categories=["parcel-1"]), 1)
                with pytest.raises(InvalidInput):
                    await store.wait(Position("none.events", 0, 0))

        asyncio.run(work())

    def test_an_append_is_as_it_was_when_it_was_asked_for(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                events: list[Event] = moves("a", "b")
                task = asyncio.create_task(store.append("parcel-1", events))
                await asyncio.sleep(0)
                events.clear()
                assert (await task).version == 2

        asyncio.run(work())

    def test_appends_of_one_call_are_as_they_were_when_it_was_made(
        self, open_store: OpenStore
    ) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                many = [Append(f"parcel-{n}", moves(*"abc") * 1_000) for n in range(6)]
                before = [asyncio.create_task(store.append_each([it])) for it in many]
                events: list[Event] = moves("a", "b")
                ids = [uuid4(), uuid4()]
                appends = [Append("van-1", events, event_ids=ids)]
                task = asyncio.create_task(store.append_each(appends))
                await asyncio.sleep(0)
                events.clear()
                ids.reverse()
                appends.clear()
                (done,) = await task
                assert isinstance(done, Appended)
                assert (done.version, [*done.event_ids]) == (2, ids[::-1])
                await asyncio.gather(*before)

        asyncio.run(work())

    def test_each_append_of_a_call_is_refused_for_itself(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                single: Any = ParcelMoved(place="no list")
                refused, done = await store.append_each(
                    [Append("parcel-1", single), Append("parcel-2", moves("a"))]
                )
                assert isinstance(refused, InvalidInput)
                assert "write [event]" in str(refused)
                assert isinstance(done, Appended)

        asyncio.run(work())

    def test_a_position_can_be_waited_for(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as one, aio.EventStore(open_store()) as two:
                for number in range(1, 6):
                    done = await one.append("parcel-1", moves("a"))
                    await two.wait(done.position, timeout=20)
                    assert len(await two.get_events("parcel-1")) == number

        asyncio.run(work())

    def test_a_replay_can_be_left_and_the_store_goes_on(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                await store.append("parcel-1", moves(*map(str, range(3_000))))
                async for recorded in store.replay():
                    assert recorded.version == 1
                    break
                other = store.replay()
                assert places(await first(other, 3)) == ["0", "1", "2"]
                await store.append("parcel-1", moves("x"))
                await other.aclose()
                found = [it.version async for it in store.replay(event_types=[ParcelMoved])]
                assert found == [*range(1, 3_002)]

        asyncio.run(work())

    def test_appends_to_several_aggregates_are_all_there_or_none(
        self, open_store: OpenStore
    ) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                asked = [Append(f"parcel-{n}", moves("a"), 0) for n in range(3)]
                done = await store.append_all(asked)
                assert [(it.aggregate_id, it.version) for it in done] == [
                    (f"parcel-{n}", 1) for n in range(3)
                ]
                with pytest.raises(ConcurrencyError):
                    await store.append_all([Append("parcel-9", moves("b"), 0), asked[0]])
                assert await store.get_events("parcel-9") == []

        asyncio.run(work())

    def test_nothing_an_awaitable_store_offers_changes_history(self, open_store: OpenStore) -> None:
        store = aio.EventStore(open_store())
        offered = {name for name in dir(store) if not name.startswith("_")}
        assert {it for it in offered if it.startswith(CHANGES_HISTORY)} == set()
        asyncio.run(store.close())


class AioRepositoryContract:
    def test_many_tasks_execute_on_one_aggregate(self, open_store: OpenStore) -> None:
        async def one(repository: aio.Repository[Parcel], number: int) -> str:
            async def move(parcel: Parcel) -> str:
                await asyncio.sleep(0)
                parcel.move(str(number))
                return f"moved {number}"

            return await repository.execute("parcel-1", move, attempts=1_000)

        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                repository = aio.Repository(store, Parcel)
                results = await asyncio.gather(*(one(repository, n) for n in range(15)))
                assert results == [f"moved {n}" for n in range(15)]
                parcel = await repository.get("parcel-1")
                assert sorted(parcel.places, key=int) == [str(n) for n in range(15)]

        asyncio.run(work())

    def test_a_snapshot_is_kept_and_used(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                await store.append("parcel-1", moves(*"abc"))
                repository = aio.Repository(store, Parcel, snapshot_every=3)
                folded = await repository.get("parcel-1")
                snapshot = await store.snapshots.load_snapshot("parcel-1")
                assert snapshot is not None
                assert snapshot.version == 3
                assert await repository.get("parcel-1") == folded
                assert (await repository.get("parcel-1", version=2)).places == ["a", "b"]
                async with repository.edit("parcel-1") as parcel:
                    parcel.move("d")
                assert (await repository.get("parcel-1")).places == [*"abcd"]

        asyncio.run(work())

    def test_a_save_that_was_cancelled_can_be_made_again(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                repository = aio.Repository(store, Parcel)
                for number in range(20):
                    parcel = Parcel(f"parcel-{number}")
                    parcel.move("a")
                    saving = asyncio.create_task(repository.save(parcel))
                    await asyncio.sleep(number * 0.0005)
                    saving.cancel()
                    await asyncio.wait([saving])
                    await repository.save(parcel)
                    assert (await repository.get(f"parcel-{number}")).version == 1

        asyncio.run(work())

    def test_two_tasks_that_save_one_aggregate_lose_nothing(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                repository = aio.Repository(store, Parcel)
                parcel = Parcel("parcel-1")
                parcel.move("a")
                saves = [asyncio.create_task(repository.save(parcel)) for _ in range(2)]
                await asyncio.sleep(0)
                parcel.move("b")
                await asyncio.gather(*saves)
                assert parcel.pending_events == (ParcelMoved(place="b"),)
                await repository.save(parcel)
                assert (await repository.get("parcel-1")).places == ["a", "b"]

        asyncio.run(work())

    def test_what_is_not_there_is_not_found(self, open_store: OpenStore) -> None:
        class Ghost(Aggregate):
            pass

        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                with pytest.raises(AggregateNotFound):
                    await aio.Repository(store, Parcel).get("parcel-1")
                assert (await aio.Repository(store, Ghost).get_or_new("parcel-1")).version == 0

        asyncio.run(work())
