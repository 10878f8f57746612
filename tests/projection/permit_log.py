"""What a log of permits means, computed from its JSON alone: the answer the library must give."""

import itertools
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

HOUR = Fraction(3_600_000_000)
"""Microseconds."""


class PermitLog:
    """The lines of a log file, read without eventkit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = [
            json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()
        ]
        self.permits: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in self.lines:
            self.permits[line["subject"]].append(line)

    def open_permits(self) -> list[tuple[Any, ...]]:
        """One row a permit that was received and not closed, by permit."""
        rows = []
        for permit, (received, *later) in self.permits.items():
            if any(line["type"] == "PermitClosed" for line in later):
                continue
            steps = [line["data"]["step"] for line in later]
            rows.append(
                (
                    permit,
                    received["data"]["department"],
                    received["data"]["responsible"],
                    _utc(received["data"]["deadline"]),
                    len(steps),
                    steps[-1] if steps else None,
                    moment((later or [received])[-1]),
                )
            )
        return sorted(rows)

    def step_times(self) -> list[tuple[str, int, float, float]]:
        """Count, mean and longest hours since the event before, by step."""
        times: dict[str, list[int]] = defaultdict(list)
        for lines in self.permits.values():
            for earlier, line in itertools.pairwise(lines):
                if line["type"] == "StepCompleted":
                    took = (moment(line) - moment(earlier)) // timedelta(microseconds=1)
                    times[line["data"]["step"]].append(took)
        return sorted(
            (step, len(all_), float(sum(all_) / len(all_) / HOUR), float(max(all_) / HOUR))
            for step, all_ in times.items()
        )

    def audit_trail(self) -> list[tuple[Any, ...]]:
        """One row an event, by permit and version."""
        return sorted(
            (
                (
                    permit,
                    version,
                    moment(line),
                    line["causedbyuser"],
                    line["type"],
                    line["data"].get("step"),
                    line["workspaceid"],
                    line["id"],
                )
                for permit, lines in self.permits.items()
                for version, line in enumerate(lines, start=1)
            ),
            key=lambda row: row[:2],
        )

    def state(self, permit: str, as_of: datetime) -> dict[str, Any] | None:
        """The permit at a moment, None before its first event."""
        lines = [line for line in self.permits[permit] if moment(line) <= as_of]
        if not lines:
            return None
        received = lines[0]["data"]
        return {
            "channel": received["channel"],
            "department": received["department"],
            "responsible": received["responsible"],
            "deadline": _utc(received["deadline"]),
            "steps": [line["data"]["step"] for line in lines if line["type"] == "StepCompleted"],
            "closed": any(line["type"] == "PermitClosed" for line in lines),
        }


def moment(line: dict[str, Any]) -> datetime:
    """When it happened, in UTC."""
    return _utc(line["time"])


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
