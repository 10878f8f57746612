"""The user's module: its event, aggregate and projection classes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from eventkit.aggregate import Aggregate, applied_events, category_of_class
from eventkit.cli.user_code import told_by_user_code
from eventkit.errors import InvalidApp
from eventkit.events import Event
from eventkit.projection import Projection

_T = TypeVar("_T")


@dataclass(frozen=True)
class App:
    """The classes that a module defines or imports, or that modules inside it define.

    Parameters:
        name: of the module.
        events: its event classes, and those that its aggregates apply.
        aggregates: its aggregate classes.
        projections: its projections, one of each class that has a name.
    """

    name: str
    events: tuple[type[Event], ...]
    aggregates: tuple[type[Aggregate], ...]
    projections: tuple[Projection, ...]

    def aggregate_of(self, category: str) -> type[Aggregate]:
        """The class for aggregates of a category; where there is but one class, that one.

        Raises:
            InvalidApp: there is none, or more than one.
        """
        found = [cls for cls in self.aggregates if category_of_class(cls) == category]
        found = found or list(self.aggregates)
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{cls.__name__} (category {category_of_class(cls)})" for cls in found)
        raise InvalidApp(
            f"{self.name} has {'several classes' if found else 'no aggregate class'} for the "
            f"category {category!r}{f': {known}' if known else ''}. "
            f"Write one as class X(Aggregate, category={category!r})."
        )

    def projection(self, name: str) -> Projection:
        """The projection of this name.

        Raises:
            InvalidApp: there is none.
        """
        for projection in self.projections:
            if projection.name == name:
                return projection
        known = ", ".join(projection.name for projection in self.projections) or "none"
        raise InvalidApp(f"{self.name} has no projection {name!r}; it has: {known}")


def load_app(name: str) -> App:
    """Import the user's module, also from the working directory, and collect its classes.

    Raises:
        InvalidApp: there is no such module, it fails, or it holds no class to work with.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _imported(name)
    events = dict.fromkeys(_classes(module, Event))
    aggregates = tuple(_classes(module, Aggregate))
    for aggregate in aggregates:
        events |= dict.fromkeys(applied_events(aggregate))
    projections = tuple(cls() for cls in _classes(module, Projection) if hasattr(cls, "name"))
    if not (events or aggregates or projections):
        raise InvalidApp(
            f"{name} ({module.__file__}) has no event, aggregate or projection class; define or "
            "import them there"
        )
    return App(name, tuple(events), aggregates, projections)


def _imported(name: str) -> ModuleType:
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").removeprefix("./").replace("/", ".")
        raise InvalidApp(f"{name!r} is a file; name the module in it: --app {dotted}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise InvalidApp(_failed(name, error)) from error
        raise InvalidApp(
            f"there is no module {error.name!r}; looked in {Path.cwd()} and in the installed "
            "packages"
        ) from error
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise InvalidApp(_failed(name, error)) from error


def _failed(name: str, error: BaseException) -> str:
    return "\n".join([f"the module {name} cannot be imported:", *told_by_user_code(error)])


def _classes(module: ModuleType, base: type[_T]) -> Iterator[type[_T]]:
    """The classes derived from `base` that the module holds, in the order of their definition."""
    held = [value for value in vars(module).values() if isinstance(value, type)]
    for cls in _subclasses(base):
        inside = f"{cls.__module__}.".startswith(f"{module.__name__}.")
        if (inside and _is_current(cls)) or any(cls is value for value in held):
            yield cls


def _is_current(cls: type) -> bool:
    """Whether the module of a class still holds it: one that was loaded again has another."""
    found: object = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is cls


def _subclasses(base: type[_T]) -> dict[type[_T], None]:
    found: dict[type[_T], None] = {}
    for cls in base.__subclasses__():
        found[cls] = None
        found |= _subclasses(cls)
    return found
