"""The size of modules and functions: what a reader takes in at once."""

import ast

import pytest

from tests.unit.source import Module, modules

MODULE_LINES = 400
FUNCTION_LINES = 40

MODULES = modules("eventkit") | modules("projections")


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines the statements of `function` span, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def long_functions(module: Module) -> dict[str, int]:
    """Return the functions of `module` that are over budget, with their lines."""
    functions = (
        node
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {
        function.name: body_lines(function)
        for function in functions
        if body_lines(function) > FUNCTION_LINES
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module_opens_with_its_purpose(name: str) -> None:
    assert ast.get_docstring(MODULES[name].tree)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_stays_short(name: str) -> None:
    assert len(MODULES[name].text.splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("name", MODULES)
def test_functions_stay_short(name: str) -> None:
    assert long_functions(MODULES[name]) == {}
