"""The public names: what users import stays where it is."""

import importlib
from types import ModuleType

import pytest

PUBLIC = {
    "eventkit": {"Aggregate", "Event", "Metadata", "Repository", "apply", "connect"},
    "eventkit.aio": {"Repository", "connect"},
    "eventkit.projection": {"Projection", "on"},
}


def public_names(module: ModuleType) -> set[str]:
    """Return the names that `module` shows without an underscore, its sub-modules left out."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_the_promised_names_are_exported(name: str) -> None:
    module = importlib.import_module(name)
    assert PUBLIC[name] - set(module.__all__) == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_every_exported_name_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert {export for export in module.__all__ if not hasattr(module, export)} == set()


def test_every_public_name_is_exported() -> None:
    module = importlib.import_module("eventkit")
    assert public_names(module) - set(module.__all__) == set()
