"""A made-up event log of a permit office: `python -m projections.sample FILE`.

For machines without the real log. The same seed gives the same file.
"""

import argparse
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

_T = TypeVar("_T")

ZONE = timezone(timedelta(hours=1))
BEGIN = datetime(2023, 1, 2, 8, tzinfo=ZONE)
DAYS = 450
"""How long applications come in, and where the log ends."""
OPENING, CLOSING = 8, 17
"""Office hours; only applications by the web come in at any time."""
STUCK = 0.03
"""Share of permits that are left lying at some step."""
GIVEN_UP = 0.2
"""How likely a permit of these is left lying at each step."""
OWN_WORK = 0.6
"""Share of steps that the responsible employee completes in person."""
REST = 400.0
"""Hours from the last step to the closing, on average."""


class Step(NamedTuple):
    """One step of the handling: how often it is needed, and how many hours it waits before."""

    name: str
    group: str
    chance: float
    wait: float


STEPS = (
    Step("Acknowledge the application", "Front office", 1.0, 90.0),
    Step("Check the drawings", "Reviewers", 0.96, 20.0),
    Step("Ask for missing papers", "Reviewers", 0.12, 30.0),
    Step("Draft the letter of receipt", "Case handlers", 0.93, 6.0),
    Step("Send the letter of receipt", "Front office", 0.93, 14.0),
    Step("Weigh whether advice is needed", "Case handlers", 0.97, 25.0),
    Step("Collect advice of the fire brigade", "Advisers", 0.07, 120.0),
    Step("Collect advice on monuments", "Advisers", 0.04, 160.0),
    Step("Weigh whether to suspend the term", "Case handlers", 0.92, 10.0),
)
CHANNELS = {"Web": 85, "Desk": 9, "Letter": 6}
DEPARTMENTS = {"Building": 88, "Environment": 8, "Heritage": 4}
TERM_DAYS = {56: 80, 98: 15, 182: 5}
STAFF = tuple(f"employee-{number:02}" for number in range(1, 25))


def cloud_events(permits: int = 1_434, seed: int = 1) -> list[dict[str, Any]]:
    """The log as CloudEvents, sorted by time.

    Parameters:
        permits: how many applications come in.
        seed: another seed gives another log.
    """
    rng = Random(seed)  # noqa: S311 - a believable log, not a secret
    end = BEGIN + timedelta(days=DAYS)
    numbers = rng.sample(range(1_000, 1_000 + 4 * permits), permits)
    events = [
        event
        for number in numbers
        for event in _life(rng, f"permit-{number}")
        if datetime.fromisoformat(event["time"]) < end
    ]
    events.sort(key=lambda event: datetime.fromisoformat(event["time"]))
    for task, event in enumerate((e for e in events if e["type"] == "StepCompleted"), start=1):
        event["data"]["task"] = f"todo-{task}"
    return events


def _life(rng: Random, permit_id: str) -> Iterator[dict[str, Any]]:
    """What happens to one permit, in order, as if the log never ended."""
    channel, department = _draw(rng, CHANNELS), _draw(rng, DEPARTMENTS)
    at = BEGIN + timedelta(days=rng.uniform(0, DAYS - 25))
    if channel != "Web":
        at = _in_office(at)
    handler = rng.choice(STAFF)
    received = {
        "channel": channel,
        "department": department,
        "responsible": handler,
        "deadline": _text(at.replace(hour=0, minute=0, second=0) + _term(rng)),
    }
    common = {"subject": permit_id, "workspaceid": department.lower()}
    yield _event(rng, "PermitReceived", at, handler, received) | common
    stuck = rng.random() < STUCK
    for step in (step for step in STEPS if rng.random() < step.chance):
        if stuck and rng.random() < GIVEN_UP:
            return
        at = _in_office(at + timedelta(hours=rng.expovariate(1 / step.wait)))
        by = handler if rng.random() < OWN_WORK else rng.choice(STAFF)
        done = {"step": step.name, "task": "", "group": step.group}
        yield _event(rng, "StepCompleted", at, by, done) | common
    if not stuck:
        at = _in_office(at + timedelta(hours=rng.expovariate(1 / REST)))
        yield _event(rng, "PermitClosed", at, handler, {}) | common


def _event(rng: Random, kind: str, at: datetime, by: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(UUID(int=rng.getrandbits(128), version=4)),
        "source": "/eventkit/sample",
        "type": kind,
        "time": _text(at),
        "causedbyuser": by,
        "data": data,
    }


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _term(rng: Random) -> timedelta:
    return timedelta(days=_draw(rng, TERM_DAYS))


def _in_office(at: datetime) -> datetime:
    """The first moment from `at` on at which somebody is at work, at its minute."""
    if at.hour >= CLOSING:
        at = at.replace(hour=OPENING) + timedelta(days=1)
    elif at.hour < OPENING:
        at = at.replace(hour=OPENING)
    weekday = at.isoweekday()
    return at + timedelta(days=8 - weekday) if weekday > 5 else at  # noqa: PLR2004 - Friday


def _draw(rng: Random, weights: dict[_T, int]) -> _T:
    return rng.choices(list(weights), list(weights.values()))[0]


def main(arguments: list[str] | None = None) -> None:
    """Write the file that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m projections.sample", description=__doc__)
    parser.add_argument("file", type=Path, help="where to write; an existing file is replaced")
    parser.add_argument("--permits", type=int, default=1_434, help="how many (default 1434)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another log (default 1)")
    options = parser.parse_args(arguments)
    events = cloud_events(options.permits, options.seed)
    text = "".join(json.dumps(event) + "\n" for event in events)
    try:
        options.file.write_text(text, encoding="utf-8")
    except OSError as error:
        parser.error(f"{options.file} cannot be written: {error.strerror}")
    print(f"{options.file}: {len(events):,} events of {options.permits:,} permits")  # noqa: T201


if __name__ == "__main__":
    main()
