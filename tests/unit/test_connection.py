"""From a URL to a store."""

import os
from pathlib import Path
from typing import Any

import pytest

from eventkit import connect
from eventkit.errors import InvalidInput, InvalidUrl
from eventkit.sqlite import SqliteStore


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///events.db", "events.db"),
        ("SQLite:///events.db", "events.db"),
        ("sqlite:///./a%20b%23c%3Fd.db", "a b#c?d.db"),
        ("sqlite:///ünï.db", "ünï.db"),
        ("sqlite:///%C3%BC.db", "ü.db"),
        ("sqlite:///events.db?timeout=0", "events.db"),
        ("sqlite:///a-100%.db", "a-100%.db"),
    ],
)
def test_a_relative_url_names_a_file_here(tmp_path: Path, url: str, name: str) -> None:
    connect(url).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_absolute_url_has_four_slashes(tmp_path: Path) -> None:
    connect(f"sqlite:///{tmp_path}/there.db").close()
    assert (tmp_path / "there.db").exists()


def test_a_file_name_that_is_no_text_can_be_written_in_a_url(tmp_path: Path) -> None:
    connect("sqlite:///%FF%FE.db").close()
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [b"\xff\xfe.db"]


@pytest.mark.parametrize(("query", "seconds"), [("", 10.0), ("?timeout=2.5", 2.5)])
def test_the_time_out_is_an_option(query: str, seconds: float) -> None:
    with connect(f"sqlite:///events.db{query}") as store:
        assert isinstance(store, SqliteStore)
        assert store._timeout == seconds


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("events.db", "it has no scheme. Write sqlite:///events.db"),
        ("", "it has no scheme. Write sqlite:///events.db"),
        ("postgres://host/db", "there is no store for postgres://. Write sqlite:///events.db"),
        ("sqlite://events.db", "it names no file; mind the three slashes."),
        ("sqlite://", "it names no file; mind the three slashes."),
        ("sqlite:events.db", "it names no file; mind the three slashes."),
        ("sqlite:/events.db", "it names no file; mind the three slashes."),
        ("sqlite:///", "it names no file; mind the three slashes."),
        ("sqlite://[events.db", "Invalid IPv6 URL"),
        ("sqlite:///events.db#1", "a file name with '#' is written with %23"),
        ("sqlite:///events.db?wait=1", "unknown option 'wait'; there is: timeout"),
        ("sqlite:///events.db?timeout=soon", "timeout is a number of seconds, not 'soon'"),
        ("sqlite:///events.db?timeout=", "timeout is a number of seconds, not ''"),
        ("sqlite:///events.db?timeout=-1", "timeout is a number of seconds, not '-1'"),
        ("sqlite:///events.db?timeout=nan", "timeout is a number of seconds, not 'nan'"),
        ("sqlite:///events.db?timeout=inf", "timeout is a number of seconds, not 'inf'"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_with_the_reason(
    tmp_path: Path, url: str, reason: str
) -> None:
    with pytest.raises(InvalidUrl) as caught:
        connect(url)
    assert caught.value.url == url
    assert reason in caught.value.reason
    assert list(tmp_path.iterdir()) == []


def test_a_path_is_no_url() -> None:
    with pytest.raises(InvalidUrl, match="Write sqlite:///"):
        connect(Path("events.db"))  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///a%00b.db"])
def test_a_url_names_a_file_that_can_be(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInput):
        connect(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [{"index": "index.db"}, {"kafka": {"client.id": "x"}}])
def test_options_of_kafka_are_refused_for_a_file(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidUrl, match="for a store on Kafka"):
        connect("sqlite:///events.db", **option)
