"""Appends to several aggregates, all or none: one transaction, alone in its producer epoch.

A reader of a partition judges each append by itself, by the rule of the log: it cannot know of the
others, which may be in partitions that another reader reads. So that all of them take effect or
none comes from the transaction, and everything here sees to it that this transaction is all there
is to decide. The order of events for one `append_all`:

1. *judge*: as for any append, the versions are compared with the index. What conflicts for certain
   is told at once, and nothing of any was written. While a rival's proposal for one of the
   aggregates is undecided, all wait.
2. *a new epoch*: the producer is dropped and opened again under its `transactional.id`. That ends
   whatever it had open, and bumps the epoch: a late EndTxn, AddPartitions or Produce of before is
   refused from here on.
3. *decided ground*: wait until all that the log holds by now in the partitions is decided, and
   what is ours is in the index. So no append builds on one that may yet be lost, and nothing that
   was taken back can come along with this transaction.
4. *judge* again, then *propose* all records in one transaction, and *read back*, as writer.py does.
   One loser is enough: the whole is aborted, and begun again from 1 after a pause.
5. *commit*, and drop the producer, so that no later transaction has this epoch.
6. *acknowledge* when the rule has accepted every part in our own read_committed tail.

What can fail between any two of these steps, and what happens then:

- A commit or an abort of an earlier transaction was held back, and arrives during ours: its epoch
  is a past one, it is refused (2). So a half produced transaction is never committed. This is what
  an epoch costs some 10 ms for.
- Our own commit is held back and sent again: whichever comes first commits the whole, which was
  complete in the log before the first was sent. The other finds it done, or a past epoch (5).
- The answer to the commit is lost, or the broker restarts: in doubt (doubt.py). A new epoch ends
  what is open; the log says whether the parts are there.
- Killed or frozen before the commit: a helper, or the broker at the transaction's time-out, aborts
  the whole. Frozen after the read back, fenced, and a rival commits: our commit is of a past epoch.
  Whoever wakes up is in doubt, finds nothing of its own in the log, and begins again.
- A rival's record comes before one of ours, in one partition: we meet it in the read back and
  withdraw all. After ours: it meets ours and withdraws, or loses by the rule. Two of these over the
  same aggregates in another order may each meet the other one, and both withdraw; random pauses
  part them. Nobody waits while holding something, so nobody waits for ever.
- A part that is committed is accepted: no rival stands between the base and it, what lay before the
  base was decided and counted, and nothing of ours was in flight. Should the rule reject one after
  all, it is said loudly (`StoreCorrupted`), and `verify` shows it by the header `ce_all`.
- A normal group before: it is decided before ours begins (3). One after: it has another epoch.
- The deadline comes while in doubt: `OutcomeUnknown`, with the event ids of all.

What readers see meanwhile: the transaction is decided at one moment, but the broker writes its
markers partition by partition, and readers follow each partition by itself. So for some
milliseconds one part may be readable and another one not yet. The call returns when all are.

The window that is left: a lone broker that is killed between the markers of two partitions may
never write the others (KAFKA-20734). What it leaves is finished by whoever meets it, as the parts
that are decided tell (sweeping.py, which says what cannot be finished).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, time
from typing import NamedTuple

from confluent_kafka import KafkaException

from eventkit.errors import EventkitError, OutcomeUnknown, StoreBusy, StoreCorrupted
from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import Call, InFlight, Waiting, finish
from eventkit.kafka.records import NewRecord, part_of_all
from eventkit.kafka.view import View
from eventkit.kafka.writing.doubt import Doubt, refusal
from eventkit.kafka.writing.numbering import Ends, Numbering
from eventkit.kafka.writing.sweeping import Frame, Sweeper
from eventkit.kafka.writing.transactions import LEAST_STEP, STEP, NotTaken, Transactions
from eventkit.kafka.writing.turns import Turns
from eventkit.kafka.writing.waitlist import WaitList
from eventkit.sqlite.writes import half_recorded
from eventkit.store import Appended

log = logging.getLogger("eventkit.kafka")

_GROUND = 0.5  # seconds to wait for decided ground before others get their turn
_DECIDED = 4.0  # seconds to wait for the verdict on a commit before the log is asked
_LOOK_AGAIN = 0.002  # seconds until what a rival proposed is looked at again
_PAUSE = 0.1  # seconds until something that failed is tried again
_SHORTEST = 0.004  # seconds of a pause after a lost race; doubled up to four times


class Part(Waiting):
    """One of the appends of an `append_all`; `plain` are its records without `ce_all`."""

    __slots__ = ("plain",)
    plain: Sequence[NewRecord]

    @classmethod
    def of(cls, it: Waiting) -> Part:
        """The same append, as a part."""
        part = cls(
            it.aggregate_id, it.partition, it.records, it.event_ids, it.expected, it.deadline,
            given=it.given,
        )  # fmt: skip
        part.plain = it.records
        return part


class Whole(Waiting):
    """An `append_all` on its way; in the queue it is one append, with the records of all.

    Parameters:
        appends: of different aggregates.
    """

    __slots__ = ("all_id", "parts", "proposed_at", "tries", "was_half")

    def __init__(self, appends: Sequence[Waiting]) -> None:
        self.parts = [Part.of(it) for it in appends]
        super().__init__(
            "", self.parts[0].partition, [it for part in self.parts for it in part.records],
            tuple(it for part in self.parts for it in part.event_ids), None,
            min(it.deadline for it in self.parts), given=True,
        )  # fmt: skip
        self.all_id = ""
        self.proposed_at = 0
        self.tries = 0
        self.was_half = False
        Call(self.parts, done=self._tell)

    @property
    def each(self) -> Sequence[Waiting]:
        """Its parts."""
        return self.parts

    @property
    def partitions(self) -> set[Partition]:
        """Where its records go."""
        return {it.partition for it in self.parts}

    def judge_anew(self) -> None:
        """Take back what its parts were told, to look all of them up once more."""
        for part in self.parts:
            part.outcome = None
        Call(self.parts, done=self._tell)

    def result(self) -> list[Appended] | EventkitError:
        """What its caller is told, once it has its outcome."""
        assert self.outcome is not None  # noqa: S101 - see above
        if isinstance(self.outcome, EventkitError):
            return self.outcome
        return [it.outcome for it in self.parts if isinstance(it.outcome, Appended)]

    def refuse(self, told: Sequence[Appended | EventkitError]) -> None:
        """Give it the outcome of its parts: at least one is an error, some may have none yet."""
        errors = [it for it in told if isinstance(it, EventkitError)]
        unknown = [it.reason for it in errors if isinstance(it, OutcomeUnknown)]
        if isinstance(errors[0], StoreBusy) and len(errors) < len(told):
            unknown.append("some of it is recorded already, and the rest was not found in time")
        finish([(self, OutcomeUnknown(self.event_ids, unknown[0]) if unknown else errors[0])])

    def _tell(self, _: Call) -> None:
        """Every part has its outcome."""
        told = [it.outcome for it in self.parts if it.outcome is not None]
        if any(isinstance(it, EventkitError) for it in told):
            self.refuse(told)
        else:
            finish([(self, told[0])])


class Tools(NamedTuple):
    """What the writer works with."""

    transactions: Transactions
    view: View
    in_flight: InFlight
    waiting: WaitList
    turns: Turns
    numbering: Numbering
    ends: Ends
    doubt: Doubt
    sweeper: Sweeper
    aborted: dict[Partition, int]
    is_ready: Callable[[Sequence[Waiting]], bool]
    read_back: Callable[[Sequence[Waiting], Mapping[Partition, Sequence[int]]], list[Waiting]]


class Together:
    """Writes appends to several aggregates, in the thread of the writer.

    Parameters:
        tools: those of the writer.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._count = 0
        self.open: set[Whole] = set()
        """Those that were accepted and have no outcome, as far as is known."""

    def write_those(self, group: Sequence[Waiting]) -> list[Waiting]:
        """Try each `append_all` of a group once; returns what else is in the group."""
        for it in group:
            if isinstance(it, Whole):
                self._try(it)
        for whole in list(self.open):
            if whole.outcome is not None:
                self.open.discard(whole)
        return [it for it in group if not isinstance(it, Whole)]

    def _try(self, whole: Whole) -> None:
        """Bring it a step further: to its outcome, or back into the queue."""
        if whole.outcome is not None:
            return
        tools = self._tools
        try:
            recorded = self._judge(whole)
            if recorded is None:
                return
            tools.transactions.drop()
            if tools.is_ready([whole]) and self._is_on_decided_ground(whole, recorded):
                tools.view.begin()
                try:
                    self._judge_again(whole, recorded)
                finally:
                    tools.view.end()
                    tools.transactions.drop()
        except EventkitError as error:  # the brokers or the index did not answer
            tools.waiting.park([whole], _PAUSE)
            tools.waiting.expire(error)

    def _judge(self, whole: Whole) -> list[Appended] | None:
        """The parts that are recorded; None if the whole has its outcome now, or has to wait."""
        numbered = self._tools.numbering.number(whole.parts)
        found = dict(numbered.finished)
        told = [found[it] for it in whole.parts if it in found]
        if any(isinstance(it, EventkitError) for it in told):
            whole.refuse(told)
        elif len(told) == len(whole.parts):
            finish(numbered.finished)
        elif len(told) + len(numbered.proposals) < len(whole.parts):
            self._tools.waiting.park([whole], _PAUSE if numbered.behind else _LOOK_AGAIN)
        else:
            return [it for it in told if isinstance(it, Appended)]
        return None

    def _judge_again(self, whole: Whole, before: Sequence[Appended]) -> None:
        """Propose it, unless some parts are recorded and others not.

        If that is so twice, and all was decided in between, it is for good. Once, it may be another
        process's attempt at the same, whose parts come into sight one by one.
        """
        recorded = self._judge(whole)
        if recorded is None:
            return
        half = half_recorded(recorded, len(whole.parts))
        if half is None:
            self._propose(whole)
        elif before:
            finish([(whole, half)])
        else:
            self._tools.waiting.park([whole], _LOOK_AGAIN)

    def _is_on_decided_ground(self, whole: Whole, recorded: Sequence[Appended]) -> bool:
        """Whether all that is in the log by now is decided, and what is ours is in the index.

        Where parts are recorded, all that is decided has to be in the index. Else it need not: what
        is missing is met in the read back. The tails learn of the last marker only when a fetch
        comes back empty, so the brokers are asked.
        """
        tools, view = self._tools, self._tools.view
        ends = tools.ends(whole.partitions, committed=False)
        if not recorded and not tools.in_flight:
            decided = tools.ends(whole.partitions, committed=True)
            if all(decided[it] >= end for it, end in ends.items()):
                return True
        if view.wait(lambda: view.has_applied(ends), monotonic() + _GROUND):
            if not tools.in_flight:
                return True
        elif not tools.in_flight:
            self._release_own(ends)
        tools.waiting.park([whole], _LOOK_AGAIN)
        return False

    def _release_own(self, ends: Mapping[Partition, int]) -> None:
        """What is undecided, and of no rival, is left of a transaction that we aborted."""
        tools = self._tools
        rivals = tools.view.oldest_undecided()
        own = [it for it, end in ends.items() if tools.view.applied[it] < end and it not in rivals]
        try:
            tools.transactions.sweep(own)
        except (KafkaException, NotTaken) as error:
            log.info("records of an aborted transaction are still undecided: %s", error)

    def _propose(self, whole: Whole) -> None:
        tools = self._tools
        self._frame(whole)
        began = monotonic()
        tools.transactions.step = min(max(whole.deadline - began, LEAST_STEP), STEP)
        try:
            own = tools.transactions.propose(whole.parts)
            took = monotonic() - began
            losers = tools.read_back(whole.parts, own)
            if losers:
                tools.aborted.update({part: offsets[-1] for part, offsets in own.items()})
                tools.transactions.abort()
            else:
                tools.in_flight.add(whole.parts)
                tools.transactions.commit()
                self._await_verdict()
        except Exception as error:  # noqa: BLE001 - whatever it was, the log knows more
            self._resolve(whole, error)
            return
        if losers:
            tools.turns.lost(in_turn=False)
            self._again(whole)
        else:
            tools.turns.went(took, in_turn=False)
            self._conclude(whole, None)

    def _await_verdict(self) -> None:
        in_flight = self._tools.in_flight
        self._tools.transactions.drop()
        if not self._tools.view.wait(lambda: not in_flight, monotonic() + _DECIDED):
            raise NotTaken("a commit is not decided")

    def _frame(self, whole: Whole) -> None:
        """Number the parts under an id that no other attempt has."""
        self._count += 1
        whole.all_id, whole.proposed_at = f"{self._count:x}", int(time() * 1000)
        for number, part in enumerate(whole.parts):
            part.records = part_of_all(part.plain, whole.all_id, number, len(whole.parts))

    def _resolve(self, whole: Whole, cause: Exception) -> None:
        tools = self._tools
        frame = Frame(tools.in_flight.writer_id, whole.all_id.encode(), whole.proposed_at)
        doubtful = [it for it in whole.parts if it.outcome is None]
        if doubtful:
            tools.in_flight.add(doubtful)
            tools.doubt.resolve(
                doubtful,
                cause,
                lambda partitions: tools.sweeper.release(tools.transactions, frame, partitions),
            )
        self._conclude(whole, cause)

    def _conclude(self, whole: Whole, cause: Exception | None) -> None:
        """The log has decided: who has no outcome now is not in it."""
        back = [it for it in whole.parts if it.outcome is None]
        if not back:
            return
        if len(back) < len(whole.parts) and whole.parts[0].given and not whole.was_half:
            # Another process tries the same ids, and its parts come into sight one by one.
            whole.was_half = True
            whole.judge_anew()
            self._again(whole)
        elif len(back) < len(whole.parts):
            names = ", ".join(it.aggregate_id for it in back)
            log.error("append_all %s took effect without its part for %s", whole.all_id, names)
            finish(
                [(whole, StoreCorrupted(
                    f"of what was appended together, the part for {names} was lost in Kafka, and "
                    "the others took effect. eventkit verify shows them."
                ))]
            )  # fmt: skip
        elif cause is not None and (refused := refusal(cause)) is not None:
            finish([(whole, refused)])
        else:
            self._again(whole)

    def _again(self, whole: Whole) -> None:
        """Back into the queue, for a while that grows and differs from that of rivals."""
        whole.tries += 1
        for part in whole.parts:  # its epoch is over: what was proposed can never take effect
            part.first_version, part.last_offset = 0, -1
        spread = random.random() * _SHORTEST * 2 ** min(whole.tries, 4)  # noqa: S311 - no secret
        now = monotonic()
        turn = max(0.0, self._tools.turns.begins(now) - now)
        self._tools.waiting.park([whole], turn + spread)
