from pathlib import Path

import pytest

from eventkit.cli.kafka import is_kafka
from eventkit.errors import InvalidSetting, InvalidUrl
from eventkit.kafka.urls import parse_url


def test_a_url_names_addresses() -> None:
    settings, options = parse_url("kafka://a:9092,b:9092")
    assert (settings.bootstrap, options) == ("a:9092,b:9092", {})


def test_the_scheme_may_be_written_in_capitals() -> None:
    assert parse_url("KAFKA://Host:9092?prefix=A").options == {"prefix": "A"}
    assert parse_url("Kafka://Host:9092").settings.bootstrap == "Host:9092"
    assert is_kafka("KAFKA://Host:9092")


@pytest.mark.parametrize("url", ["kafka://[::1]:9092,[::2]:9092", "kafka://a/"])
def test_any_address_that_librdkafka_knows_is_taken(url: str) -> None:
    assert parse_url(url).settings.bootstrap == url.removeprefix("kafka://").removesuffix("/")


def test_options_with_a_dot_are_settings_and_others_are_the_callers() -> None:
    settings, options = parse_url("kafka://a?index=x.db&client.id=billing&security.protocol=ssl")
    assert settings.admin()["client.id"] == "billing"
    assert settings.admin()["security.protocol"] == "ssl"
    assert options == {"index": "x.db"}


def test_a_file_holds_settings_and_secrets(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("# ours\n\nsasl.username = ann\nsasl.password=a=b \n")
    settings = parse_url(f"kafka://a?config={path}").settings
    assert settings.admin()["sasl.username"] == "ann"
    assert settings.admin()["sasl.password"] == "a=b"


def test_what_is_given_wins_over_the_url_and_the_url_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("client.id=file\nlinger.ms=1\nclient.rack=file\n")
    url = f"kafka://a?config={path}&client.id=url&linger.ms=2"
    admin = parse_url(url, {"client.id": "given"}).settings.admin()
    assert [admin[name] for name in ("client.id", "linger.ms", "client.rack")] == [
        "given", "2", "file",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://,a",
        "kafka://a,",
        "kafka://a/b",
        "kafka://a:x",
        "kafka://a:1:2",
        "sqlite:///a",
        "a:9092",
    ],
)
def test_a_url_without_sound_addresses_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrl, match="write kafka://host:port"):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "kafka://ann:hunter2@a:9092",
        "kafka://ann:hunter@2@a:9092",
        "kafka://ann:hunter?2hunter@a:9092",
        "kafka://ann:hunter?2hunter=hunter@a:9092",
        "kafka://ann:12?hunter@a:9092",
        "kafka://hunter?2hunter@a:9092",
        "kafka://a?sasl.password=hunter2",
        "kafka://a?ssl.key.pem=hunter2",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidUrl, match=r"config=FILE") as caught:
        parse_url(url)
    assert "hunter" not in f"{caught.value} {vars(caught.value)}"


def test_an_option_may_hold_an_at_sign() -> None:
    for address in ("[::1]", "a:9092", "a"):
        settings, _ = parse_url(f"kafka://{address}?sasl.username=ann@home")
        assert settings.admin()["sasl.username"] == "ann@home"


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidUrl, match="config=none cannot be read: No such file"):
        parse_url("kafka://a?config=none")


@pytest.mark.parametrize("content", [b"hunter2", b"\xff\xfe"])
def test_a_file_that_holds_no_settings_is_told_without_its_content(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "client.properties"
    path.write_bytes(b"# first\n" + content)
    with pytest.raises(InvalidUrl) as caught:
        parse_url(f"kafka://a?config={path}")
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_setting_that_contradicts_the_promises_is_refused_in_a_url_too() -> None:
    with pytest.raises(InvalidSetting, match=r"enable\.idempotence must stay true"):
        parse_url("kafka://a?enable.idempotence=false")
