"""What `eventkit doctor` tells of a log whose index cannot be looked at."""

from pathlib import Path

import pytest

from eventkit.health.checks import Check, State, ok
from eventkit.kafka.checking import checkup
from eventkit.kafka.checking.checkup import KafkaCheckup
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings


@pytest.fixture(autouse=True)
def _without_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cluster be sound without asking it."""

    def brokers(self: KafkaCheckup) -> list[Check]:
        self._nodes = ("127.0.0.1:1",)
        return [ok("broker", "it answers")]

    monkeypatch.setattr(KafkaCheckup, "_brokers", brokers)
    for look in ("_permissions", "_checked_topics"):
        monkeypatch.setattr(KafkaCheckup, look, lambda _: [])


def checks(index: Path) -> list[Check]:
    return list(
        KafkaCheckup(KafkaSettings("127.0.0.1:1", {}), Names(""), index, writes=False).run()
    )


def test_a_missing_folder_of_the_index_is_a_line_among_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    *others, last = checks(folder / "index.db")
    assert [it.what for it in others] == ["client", "broker"]
    assert (last.what, last.state) == (f"disk space of {folder}", State.PROBLEM)
    assert (last.told, last.fix) == ("the folder is not there", f"mkdir -p {folder}")


def test_a_folder_that_cannot_be_looked_at_is_a_line_among_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(folder: Path) -> Check:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(checkup, "disk_space", closed)
    *_, last = checks(tmp_path / "index.db")
    assert last.told == f"{tmp_path} cannot be looked at: Permission denied"
    assert (last.state, last.fix) == (
        State.PROBLEM, f"see that this user may read and write {tmp_path}"
    )  # fmt: skip
