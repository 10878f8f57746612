"""The direction of imports: which module may know which.

All imports count, also those inside functions and under `TYPE_CHECKING`: they too make one module
know another.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.unit.source import Module, modules

# A module may import from its own row and from the rows above it.
LAYERS = (
    "masking",
    "errors",
    "ids",
    "events",
    "mutability",
    "state",
    "folding",
    "aggregate",
    "fold_fingerprint",
    "store",
    "state_comparison",
    "snapshotting",
    "bell",
    "reentry",
    "subscribing",
    "replaying",
    "steps",
    "codec",
    "repository",
    "testing",
    "health",
    "sqlite",
    "kafka",
    "projection",
    "cloudevents",
    "importer",
    "connection",
    "aio",
    "__init__",
    "examples",
    "cli",
    "__main__",
)

# Libraries that only one layer may know, so that replacing one touches one place; `examples` is
# written as a user's code is.
ONLY_IN = {
    "confluent_kafka": "kafka",
    "fastavro": "codec",
    "psycopg": "projection",
    "py_avro_schema": "codec",
    "sqlalchemy": "projection",
    "typer": "cli",
}

MODULES = modules("eventkit")


def layer_of(name: str) -> str:
    """Return the row of LAYERS for the module `name`: `codec` for `eventkit.codec.schema`."""
    return name.split(".")[1] if "." in name else "__init__"


def imported_names(module: Module) -> Iterator[str]:
    """Yield the full dotted name of all that `module` imports."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{_origin(module, node)}.{alias.name}" for alias in node.names)


def _origin(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    up = node.level - (module.path.name == "__init__.py")
    base = package[: len(package) - up]
    return ".".join([*base, node.module] if node.module else base)


def imported_modules(module: Module) -> set[str]:
    """Return the modules of the library that `module` imports, or imports names from."""
    names = {name for name in imported_names(module) if name.split(".")[0] == "eventkit"}
    return {name if name in MODULES else name.rpartition(".")[0] for name in names}


def users_of(library: str) -> set[str]:
    """Return the layers that import `library`."""
    return {
        layer_of(module.name)
        for module in MODULES.values()
        if any(name.split(".")[0] == library for name in imported_names(module))
    }


def circle() -> list[str]:
    """Return modules of which each imports the one before it, the first and the last the same."""
    graph = {name: imported_modules(module) - {name} for name, module in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def row_of(name: str) -> int:
    """Return how far down in LAYERS the module `name` stands."""
    layer = layer_of(name)
    if layer not in LAYERS:
        pytest.fail(f"{layer} has no row in LAYERS; add it below all that it imports")
    return LAYERS.index(layer)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_its_own_row_and_above(name: str) -> None:
    row = row_of(name)
    assert {other for other in imported_modules(MODULES[name]) if row_of(other) > row} == set()


@pytest.mark.parametrize(("library", "layer"), ONLY_IN.items())
def test_a_library_is_known_in_one_layer_only(library: str, layer: str) -> None:
    assert users_of(library) - {layer, "examples"} == set()


def test_nothing_imports_the_command_line_but_its_own_entry() -> None:
    importers = {
        layer_of(module.name)
        for module in MODULES.values()
        if any(layer_of(other) == "cli" for other in imported_modules(module))
    }
    assert importers - {"cli", "__main__"} == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle() == []
