"""What the global options lead to: the user's classes, the store, the read models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol, cast

import typer

from eventkit.cli.app import App, load_app
from eventkit.cli.kafka import opened
from eventkit.cli.urls import read_models_beside, sqlite_file
from eventkit.errors import InvalidApp, StoreUnavailable
from eventkit.masking import masked_url
from eventkit.store import EventFilter, EventStore, PlainEvent


class BrowsableStore(EventStore, Protocol):
    """A store that can be read without event classes."""

    def plain_events_of(
        self,
        aggregate_id: str,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
    ) -> list[PlainEvent]:
        """The events of one aggregate, their bodies read without any event class."""

    def plain_events(self, wanted: EventFilter) -> Iterator[PlainEvent]:
        """All events that match."""


@dataclass
class Session:
    """One call of the command.

    Parameters:
        app_name: the module of the user's classes, if it was given.
        store_url: where the events are.
        given_read_models_url: where the read models are, if it was given.
    """

    app_name: str | None
    store_url: str
    given_read_models_url: str | None

    @cached_property
    def app(self) -> App:
        """The user's classes.

        Raises:
            InvalidApp: no module was given, or it cannot be used.
        """
        if self.app_name is None:
            raise InvalidApp(
                "this command needs your classes: eventkit --app MODULE ..., or EVENTKIT_APP; "
                "MODULE is the Python module that defines or imports them"
            )
        return load_app(self.app_name)

    @property
    def read_models_url(self) -> str:
        """Where the read models are."""
        return self.given_read_models_url or read_models_beside(self.store_url)

    @contextmanager
    def open_store(self, app: App | None) -> Iterator[BrowsableStore]:
        """The store, made where there is none; it knows the classes of the app."""
        with opened(self.store_url) as store:
            store.types.bind_all(() if app is None else app.events)
            yield cast("BrowsableStore", store)

    @contextmanager
    def open_existing_store(self) -> Iterator[BrowsableStore]:
        """The store for a command that reads, which makes none; it knows the app, if there is one.

        Raises:
            StoreUnavailable: there is none.
        """
        app = None if self.app_name is None else self.app
        file = sqlite_file(self.store_url)
        if file is not None and (not file.exists() or file.stat().st_size == 0):
            raise StoreUnavailable(
                f"there is no event store at {masked_url(self.store_url)}; "
                "say where it is with --store URL, or begin one with the command import"
            )
        with self.open_store(app) as store:
            yield store


def session_of(context: typer.Context) -> Session:
    """The session that the global options began."""
    session = context.obj
    assert isinstance(session, Session)  # noqa: S101 - set by the callback of all commands
    return session
