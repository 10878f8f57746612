"""The writer: propose, read back, commit; one thread a store, many appends a transaction.

The order of events for a group of appends:

1. *base*: note how far the index is in each partition. *Heads*: read the versions of the
   aggregates from the index, after that, so that heads are never older than the base. Several
   appends to one aggregate are numbered one after the other.
2. *propose*: begin a transaction and produce the records. The broker reports the offset of each.
3. *read back*: wait until the read_uncommitted tail has passed those offsets and has met our
   records there. A record of a rival (another writer, the same aggregate) between the base and
   ours means that we lost.
4. *commit*, or if any append lost, *abort* and propose the others again.
5. *acknowledge*: the read_committed tail meets the records, the rule of the log accepts them, they
   are in the index; only then is the caller told. So what was acknowledged, everybody can read.

Why no two rivals commit: of two proposals for one aggregate one stands later in the log. Its writer
reads the log up to its own record before it commits, so it meets the other one there, unless that
lay before its base, in which case its head counted it. It withdraws, even if the other one is
withdrawn as well. Neither clocks nor pauses matter: what counts is the order of the log.

What can fail between any two of these steps, and what happens then:

- Killed before the broker has a record: nothing happened.
- Killed between propose and commit, or frozen there: readers wait behind the records. After
  `STALL_TIMEOUT` any other process ends the transaction (helping.py), which withdraws them. If the
  writer wakes up it is fenced: its next call fails, and it is in doubt.
- Frozen between read back and commit, fenced, and a rival commits meanwhile: the commit fails, for
  fencing bumps the epoch of the `transactional.id`. In doubt: nothing of ours is in the log, the
  appends are numbered again, those that expected a version get their `ConcurrencyError`.
- The answer to the commit is lost: in doubt (doubt.py). A new producer ends what is open; then the
  log, read past our records, says which appends took effect.
- The commit is answered, but the broker dies before its markers are written: the records stay
  undecided. No caller was told, because only the read_committed tail tells. In doubt as above; the
  records are swept out or taken in, and again the log answers.
- A commit of ours comes late and is applied to our next transaction: its records are committed
  although we abort them or never finish them. The rule of the log lets no reader take those that
  lost; those that did not lose took effect. So whatever is proposed again, after an abort as well,
  is looked up by its event ids first, and has the same version or waits (numbering.py).
- An abort is answered, but the broker dies before its markers are written: the records stay
  undecided, and our next commit in that partition would commit them. So it waits until all that
  was aborted there is decided, and if that does not come, we are in doubt.
- Committed, but the rule rejects it: it is numbered again.
- Appends to several aggregates, all or none, have a transaction of their own (together.py).
- Kafka is away: nothing is begun that cannot be finished. What was not begun is refused at its
  deadline, nothing was written; what is in doubt then is `OutcomeUnknown`, and so is a retry of it
  (earlier.py). The writer goes on asking before it writes anything else, for a second proposal of
  its own beside a doubtful one is no rival to itself.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic, sleep
from typing import Any

from confluent_kafka import KafkaException

from eventkit.codec import AvroCodec
from eventkit.errors import EventkitError, StoreClosed, StoreUnavailable
from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import Call, InFlight, Waiting, finish
from eventkit.kafka.view import View
from eventkit.kafka.writing.doubt import Doubt, refusal
from eventkit.kafka.writing.earlier import Earlier
from eventkit.kafka.writing.numbering import Ends, Lookup, Numbering
from eventkit.kafka.writing.sweeping import Sweeper
from eventkit.kafka.writing.together import Part, Together, Tools, Whole
from eventkit.kafka.writing.transactions import LEAST_STEP, STEP, NotTaken, Transactions
from eventkit.kafka.writing.turns import Turns
from eventkit.kafka.writing.waitlist import WaitList

log = logging.getLogger("eventkit.kafka")

_OPEN = 2.0  # seconds to try to get a producer before deadlines are looked at
_SETTLE = 0.05  # seconds to wait for the verdict on one transaction before the next begins
_STUCK = 4.0  # seconds after which what is committed but undecided is asked for
_ASK_AGAIN = 1.0  # seconds until that is asked again
_PAUSE = 0.1  # seconds until something that failed is tried again
_LOOK_AGAIN = 0.002  # seconds until the brokers are asked again what is decided


class Writer:
    """Takes appends and brings each to its outcome.

    Parameters:
        settings: of the producer, with its `transactional.id`.
        view: what the tails have seen.
        in_flight: where committed appends wait for their verdict.
        lookup: the index.
        ends: where the log ends on the brokers.
        codec: compares retries with what is recorded.
        max_waiting: appends that may wait; more are refused.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        view: View,
        in_flight: InFlight,
        lookup: Lookup,
        ends: Ends,
        codec: AvroCodec,
        *,
        max_waiting: int = 20_000,
    ) -> None:
        self._view = view
        self._in_flight = in_flight
        self._process = os.getpid()
        self._turns = Turns(view)
        earlier = Earlier(view, in_flight, lookup.known)
        self._list = WaitList(in_flight, self._turns, earlier, max_waiting)
        self._transactions = Transactions(settings, STEP)
        self._numbering = Numbering(view, in_flight, lookup, ends, codec)
        self._doubt = Doubt(self._transactions, view, in_flight, ends, self._meanwhile)
        in_flight.give_back = self._give_back
        self._aborted: dict[Partition, int] = {}
        self._together = Together(
            Tools(
                self._transactions, view, in_flight, self._list, self._turns, self._numbering, ends,
                self._doubt, Sweeper(settings, view.applied), self._aborted, self._is_ready,
                self._read_back,
            )
        )  # fmt: skip
        self._ends = ends
        self._acknowledged = 0
        self._ask_at = 0.0
        name = f"eventkit writer {in_flight.writer_id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to take appends; the tails must be running."""
        self._thread.start()

    def put(self, call: Call) -> None:
        """Queue the appends of a caller, all or none; `call.wait()` waits for their outcomes.

        Raises:
            StoreBusy: too many wait.
            StoreClosed: the writer was closed, or belongs to the parent process.
        """
        if os.getpid() != self._process:
            raise StoreClosed.by_fork("the event store")
        self._list.put(call)

    def put_all(self, whole: Whole, call: Call) -> None:
        """Queue an `append_all` as the one append of a call; see `put`."""
        self._together.open.add(whole)
        try:
            self.put(call)
        except BaseException:
            self._together.open.discard(whole)
            raise

    def close(self) -> None:
        """Refuse new appends and return when all that were accepted have their outcome."""
        if os.getpid() != self._process:
            return
        self._list.close()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (group := self._list.take(self._acknowledged)) is not None:
            self._acknowledged = 0
            try:
                self._view.check()
                if self._is_stuck():
                    self._resolve(self._in_flight.pending(), NotTaken("a commit is not decided"))
                if group and self._together.open:
                    group = self._together.write_those(group)
                if group and self._is_ready(group):
                    self._write(group)
            except Exception as error:
                log.exception("the writer failed")
                what = str(error) if isinstance(error, EventkitError) else repr(error)
                failure = StoreUnavailable(f"the writer failed: {what}; this call wrote nothing")
                sent = set(self._in_flight.pending())
                self._list.give_up([it for it in group if it not in sent], failure)
                if self._view.failure is not None:
                    self._list.refuse(failure)
                    self._doubt.give_up(self._in_flight.pending(), str(error))
        self._transactions.drop()

    def _is_stuck(self) -> bool:
        """Whether an append has no verdict for long, be others settled meanwhile or not.

        Either brokers left its commit undecided, or it was committed before it was expected, and
        the index has passed it unnoticed. An index that is behind is neither: it is waited for,
        until an append is too late.
        """
        old, now = self._in_flight.older_than(_STUCK), monotonic()
        if not old or now < self._ask_at:
            return False
        self._ask_at = now + _ASK_AGAIN
        if any(it.deadline <= now for it in old):
            return True
        try:
            ends = self._ends({it.partition for it in old}, committed=True)
        except EventkitError:
            return True
        applied = self._view.applied
        return any(
            it.last_offset >= ends[it.partition] or it.last_offset < applied[it.partition]
            for it in old
        )

    def _is_ready(self, group: Sequence[Waiting]) -> bool:
        """Whether there is a producer; without one nothing is begun."""
        if self._transactions.is_open:
            return True
        try:
            self._transactions.open(_OPEN)
        except KafkaException as error:
            refused = refusal(error)
            self._list.park(group, _PAUSE)
            if refused is not None:
                self._list.refuse(refused)
            else:
                self._list.expire(_unreachable(error))
            return False
        return True

    def _write(self, group: Sequence[Waiting]) -> None:
        """One round: number, propose, read back, commit."""
        self._view.begin()
        try:
            proposals = self._number(group)
            if proposals:
                self._commit(proposals)
        finally:
            self._view.end()

    def _number(self, group: Sequence[Waiting]) -> list[Waiting]:
        try:
            numbered = self._numbering.number(group)
        except EventkitError as error:  # the brokers or the index did not answer
            self._list.park([it for it in group if it.outcome is None], _PAUSE)
            self._list.expire(error)
            return []
        finish(numbered.finished)
        self._list.keep_hot(numbered.contended)
        self._list.park([*numbered.early, *numbered.ahead])
        self._list.park(numbered.behind, _PAUSE)
        if numbered.contended and not numbered.proposals:
            # Else this thread would look again and again until the rival is decided.
            self._view.wait(
                lambda: not self._view.undecided(numbered.contended), monotonic() + _LOOK_AGAIN
            )
        return numbered.proposals

    def _commit(self, proposals: Sequence[Waiting]) -> None:
        first = min(it.deadline for it in proposals)
        self._transactions.step = min(max(first - monotonic(), LEAST_STEP), STEP)
        began = monotonic()
        is_sent = False
        in_turn = self._list.in_turn(proposals)
        try:
            own = self._transactions.propose(proposals)
            proposed = monotonic()
            losers = self._read_back(proposals, own)
            if losers:
                self._transactions.abort()
                self._aborted.update({part: offsets[-1] for part, offsets in own.items()})
            else:
                self._in_flight.add(proposals)
                is_sent = True
                self._wait_for_aborted(own)
                self._transactions.commit()
        except Exception as error:  # noqa: BLE001 - whatever it was, the log knows more
            if not is_sent:
                self._in_flight.add(proposals)
            self._resolve(proposals, error)
            return
        markers = {partition: offsets[-1] + 2 for partition, offsets in own.items()}
        if losers:
            self._list.lost(proposals, losers)
            self._turns.lost(in_turn=in_turn)
            self._view.wait(lambda: self._view.has_seen(markers), monotonic() + _SETTLE)
        else:
            self._turns.went(proposed - began, in_turn=in_turn)
            self._view.wait(
                lambda: not self._in_flight or self._view.has_applied(markers),
                monotonic() + _SETTLE,
            )
            self._acknowledged = 0 if self._in_flight else len(proposals)

    def _wait_for_aborted(self, partitions: Iterable[Partition]) -> None:
        """What we aborted before must be decided, or this commit would commit it after all."""
        left = {part: self._aborted[part] for part in partitions if part in self._aborted}
        deadline = monotonic() + self._transactions.step
        while left := {part: at for part, at in left.items() if at >= self._view.applied[part]}:
            ends = self._ends(left, committed=True)
            left = {part: at for part, at in left.items() if at >= ends[part]}
            if not left:
                break
            if monotonic() > deadline:
                raise NotTaken("records of an aborted transaction are still undecided")
            sleep(_LOOK_AGAIN)
        for part in partitions:
            self._aborted.pop(part, None)

    def _read_back(
        self, proposals: Sequence[Waiting], own: Mapping[Partition, Sequence[int]]
    ) -> list[Waiting]:
        """The appends that a rival came before, once all our records were met in the log."""
        ends = {partition: offsets[-1] + 1 for partition, offsets in own.items()}
        deadline = monotonic() + self._transactions.step
        if not self._view.wait_until_seen(ends, deadline):
            raise NotTaken("our own records were not met in the log in time")
        if not self._view.read_back(own):
            raise NotTaken("records that the broker took are missing in the log")
        return self._view.lost(proposals)

    def _resolve(self, doubtful: Sequence[Waiting], cause: Exception) -> None:
        back = self._doubt.resolve(doubtful, cause)
        refused = refusal(cause)
        if refused is not None:
            finish((it, refused) for it in back)
        else:
            self._list.give_back(back)

    def _give_back(self, some: Sequence[Waiting]) -> None:
        """Queue again what the log refused; a part of an `append_all` only goes with its whole."""
        self._list.give_back([it for it in some if not isinstance(it, Part)])

    def _meanwhile(self, reason: str) -> bool:
        """Called while in doubt: others that wait are not kept beyond their deadlines."""
        self._list.expire(_unreachable(reason))
        return bool(self._in_flight) or not self._list.is_done


def _unreachable(reason: object) -> StoreUnavailable:
    return StoreUnavailable(
        f"the append was given up at its deadline: Kafka cannot be reached ({reason}); "
        "this call wrote nothing. Try again later.",
        retryable=True,
    )
