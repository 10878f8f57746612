"""From a `kafka://` URL to the settings of Kafka's clients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from eventkit.errors import InvalidUrl
from eventkit.kafka.settings import KafkaSettings, Setting, is_secret

_SCHEME = "kafka://"
_CONFIG = "config"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^][:/\s]+)(:\d+)?")


class KafkaUrl(NamedTuple):
    """What a URL says: how to connect, and the other options, by name."""

    settings: KafkaSettings
    options: dict[str, str]


def parse_url(url: str, given: Mapping[str, Setting] | None = None) -> KafkaUrl:
    """Take apart `kafka://host:port,host:port?name=value&...`.

    An option with a `.` in its name is a setting of librdkafka. `config=FILE` names a file of such
    settings, one `name=value` a line: the place for secrets, which a URL cannot hold, because URLs
    are shown and logged. All other options are left to the caller.

    Parameters:
        url: with at least one address.
        given: settings from elsewhere; they replace those of the URL, which replace the file's.

    Raises:
        InvalidUrl: the URL leads nowhere, holds a secret, or names a file that cannot be read.
        InvalidSetting: see `KafkaSettings`.
    """
    is_ours = url.lower().startswith(_SCHEME)  # capitals in a scheme mean nothing: RFC 3986
    rest, _, query = (url[len(_SCHEME) :] if is_ours else url).partition("?")
    if "@" in rest or _is_password_before_query(rest, query):
        shown = f"{_SCHEME}{url.rpartition('@')[2]}"
        raise InvalidUrl(
            shown,
            "a URL is no place for passwords. Write sasl.username=... and sasl.password=... "
            "into a file, and say ?config=FILE",
        )
    shown = f"{_SCHEME}{rest}"
    addresses = rest.removesuffix("/")
    sound = all(_ADDRESS.fullmatch(it) for it in addresses.split(","))
    if not is_ours or not sound:
        raise InvalidUrl(shown, "write kafka://host:port, or several with commas")
    options = dict(parse_qsl(query, keep_blank_values=True))
    settings: dict[str, Setting] = {}
    connecting = {name: value for name, value in options.items() if "." in name or name == _CONFIG}
    if _CONFIG in options:
        settings |= _file(shown, options.pop(_CONFIG))
    for name in [name for name in options if "." in name]:
        if is_secret(name):
            raise InvalidUrl(
                shown, f"a URL is no place for {name}; write it into a file, and say ?config=FILE"
            )
        settings[name] = options.pop(name)
    everything = KafkaSettings(addresses, settings | dict(given or {}), connecting)
    return KafkaUrl(everything, options)


def _is_password_before_query(rest: str, query: str) -> bool:
    """Whether `user:pass?word@host` was meant: neither a port nor an option looks like that."""
    _, colon, port = rest.removesuffix("/").rpartition(":")
    is_port = not colon or port.isdigit() or port.endswith("]")
    names = [option.partition("=")[0] for option in query.split("&")]
    return ("@" in query and not is_port) or any("@" in name for name in names)


def _file(shown: str, path: str) -> dict[str, str]:
    """The settings in a file; what is wrong with it is told without its content."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InvalidUrl(shown, f"config={path} cannot be read: {reason}") from None
    settings = {}
    for number, line in enumerate(lines, start=1):
        name, equals, value = map(str.strip, line.partition("="))
        if not name or name.startswith("#"):
            continue
        if not equals:
            raise InvalidUrl(shown, f"line {number} of {path} is not name=value")
        settings[name] = value
    return settings
