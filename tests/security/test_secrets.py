"""A password of a URL, a setting or the environment is in nothing that a command shows or logs."""

import logging
import traceback
from pathlib import Path

import pytest

from eventkit import connect
from eventkit.errors import EventkitError, KafkaUnavailable
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.settings import KafkaSettings
from eventkit.projection import ReadModels
from tests.contract.domain import moves
from tests.kafka.verify_kit import run

SECRET = "hunter2hunter2"  # noqa: S105 - made up
APP = "projections.permits"

COMMANDS = [["verify"], ["doctor"], ["doctor", "--json"], ["demo"]]
"""Those that look at read models at most; for the others see test_secrets_of_commands.py."""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_password_of_the_read_models_is_not_shown(
    command: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store = f"sqlite:///{tmp_path / 'events.db'}"
    with connect(store) as opened:
        opened.append("parcel-1", moves("a"))
    models = f"postgresql://user:{SECRET}@127.0.0.1:1/db?connect_timeout=1"
    told = run("--app", APP, "--store", store, "--read-models", models, *command)
    assert SECRET not in told.out + told.err + caplog.text


def test_the_password_of_the_read_models_is_in_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"postgresql://user:{SECRET}@127.0.0.1:1/db?connect_timeout=1"
    models = ReadModels(url)
    assert SECRET not in repr(models) + models.where
    with pytest.raises(EventkitError) as caught, models.connect():
        pass
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told + repr(caught.value) + str(vars(caught.value)) + caplog.text


def test_librdkafka_at_its_most_talkative_tells_no_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "kafka.conf"
    file.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=ann\ndebug=all\n"
        f"sasl.password={SECRET}\n"
    )
    url = f"kafka://127.0.0.1:1?config={file}"
    told = run("--store", url, "--app", APP, "verify")
    assert told.code != 0
    out, err = capfd.readouterr()
    assert "sasl" in caplog.text.lower()
    assert SECRET not in told.out + told.err + caplog.text + out + err


def test_settings_and_errors_show_no_secret() -> None:
    secret = {"sasl.password": SECRET, "ssl.key.password": SECRET, "ssl.key.pem": SECRET}
    settings = KafkaSettings("127.0.0.1:1", {"sasl.mechanism": "PLAIN", **secret})
    shown = f"{settings!r} {settings} {settings.url('x.')} {settings.masked(SECRET)}"
    assert SECRET not in shown
    wrong = {"security.protocol": SECRET, "sasl.password": SECRET}
    with pytest.raises(EventkitError) as caught:
        Cluster(KafkaSettings("127.0.0.1:1", wrong))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert not isinstance(caught.value, KafkaUnavailable)
