"""The texts of problems in configurations and profiles, as the source has them: a hole of an f-string is `{}`."""

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

MAKERS = {"problem": (1, 2), "Problem": (3, 4)}
"""Where `what` and `fix` stand among the arguments."""
SPOKEN = ("did_you_mean",)
"""Functions that give such a text."""
COMMANDS = ("mending",)
"""Functions that give something to type."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def texts_of(path: Path) -> Iterator[str]:
    """Every text of a problem that this file makes; an argument that cannot be followed to a text is an error."""
    for function in ast.walk(_tree(path)):
        if not isinstance(function, Function):
            continue
        if function.name in SPOKEN:
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield from _texts(node.value, function, path)
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and (places := MAKERS.get(_name(call.func))):
                for argument in call.args[places[0] : places[1] + 1]:
                    yield from _texts(argument, function, path)


def _tree(path: Path) -> ast.Module:
    """Not while garbage is collected: CPython then loses count of its depth (SystemError, seen with 3.11.7)."""
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        gc.enable()


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _texts(node: ast.expr, function: Function, path: Path, *, hole: bool = False) -> Iterator[str]:
    match node:
        case ast.Constant(value=str() as text):
            if not hole or " " in text:  # a single word in a hole is a key or a name
                yield text
        case ast.JoinedStr():
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    yield from _texts(part.value, function, path, hole=True)
        case ast.IfExp():
            yield from _texts(node.body, function, path, hole=hole)
            yield from _texts(node.orelse, function, path, hole=hole)
        case ast.BoolOp():
            for value in node.values:
                yield from _texts(value, function, path, hole=True)
        case ast.Name():
            found = list(_assigned(node.id, function))
            assert found or hole or (node.id in ("what", "fix") and function.name == "problem"), f"{path}:{node.lineno}"
            for value in found:
                yield from _texts(value, function, path, hole=hole)
        case ast.Call() if _name(node.func) in SPOKEN + COMMANDS:
            pass
        case _:
            assert hole, f"{path}:{node.lineno}: this is no text that could have its Vietnamese"


def _assigned(name: str, function: Function) -> Iterator[ast.expr]:
    """What is assigned to a name of the function, also as one of a tuple."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple):
                at = [getattr(one, "id", "") for one in target.elts]
                values = (node.value.body, node.value.orelse) if isinstance(node.value, ast.IfExp) else (node.value,)
                yield from (v.elts[at.index(name)] for v in values if name in at and isinstance(v, ast.Tuple))
