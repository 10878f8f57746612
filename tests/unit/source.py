"""The library's own modules as syntax trees, for the tests that hold its shape."""

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Module:
    """One module of the repository, read but not imported."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))


def modules(package: str) -> dict[str, Module]:
    """Return the modules of `package`, itself and those of its sub-packages included, by name."""
    paths = sorted(ROOT.joinpath(package).rglob("*.py"))
    found = (Module(_name(path), path) for path in paths)
    return {module.name: module for module in found}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
