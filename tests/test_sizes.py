"""Modules and functions stay of a size that can be read."""

import ast

from tests.conftest import REPOSITORY

_MODULE_LINES, _FUNCTION_LINES = 500, 80


def test_no_module_and_no_function_is_too_long():
    too_long = []
    for path in sorted((REPOSITORY / "team5").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(REPOSITORY)
        if text.count("\n") > _MODULE_LINES:
            too_long.append(f"{name}: {len(text.splitlines())} lines")
        too_long += [
            f"{name}: {node.name}, {node.end_lineno - node.lineno + 1} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno - node.lineno >= _FUNCTION_LINES
        ]
    assert too_long == []
