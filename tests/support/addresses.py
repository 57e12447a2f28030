"""Which addresses a source takes of memory that may be gone: the rule of ``keep_alive``.

``faults`` reads Python, it runs nothing. It knows no types: whatever ends in ``.ctypes`` counts.
"""

import ast
from collections.abc import Iterator

__all__ = ["faults"]

Function = ast.FunctionDef | ast.AsyncFunctionDef
_KEEP = "keep_alive"
_OTHER_WAYS = {"__array_interface__", "ctypes_data", "carray", "farray", "address_as_void_pointer"}


def faults(source: str) -> list[str]:
    """A sentence for each address that is not surely of living memory, with its line."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    inside = {id(node) for function in functions for node in _own_nodes(function)}
    found = [
        f"line {node.lineno}: an address is taken outside of any function"
        for node in ast.walk(tree) if _is_ctypes(node) and id(node) not in inside
    ]
    for function in functions:
        found += _Function(function).faults()
    return sorted(found)


def _is_ctypes(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in {"ctypes", *_OTHER_WAYS}


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """All nodes of the body, those of functions within left out."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (*Function.__args__, ast.Lambda, ast.ClassDef)):
            stack += ast.iter_child_nodes(node)


def _root(node: ast.AST) -> str | None:
    """``a`` of ``a.b[c].d``; None of anything else, such as a call."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


class _Function:
    """One function: what lives as long as it does, and what it does with addresses."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._nodes = list(_own_nodes(function))
        self._bound = [
            node.id for node in self._nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del)
        ]
        arguments = function.args
        names = [
            one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        ]
        self._parameters = [name for name in names if name not in self._bound]

    def faults(self) -> list[str]:
        taken = [node for node in self._nodes if _is_ctypes(node)]
        if not taken:
            return []
        return [*self._not_owned(taken), *self._escaping()]

    def _not_owned(self, taken: list[ast.AST]) -> Iterator[str]:
        whole = {id(node.value) for node in self._nodes
                 if isinstance(node, ast.Attribute) and node.attr == "data"}
        living = {*self._parameters, *self._parts(), *self._kept()}
        for node in taken:
            where = f"line {node.lineno}: "
            root = _root(node.value)
            if node.attr != "ctypes" or id(node) not in whole:
                yield f"{where}addresses are taken by '.ctypes.data' alone"
            elif root is None:
                yield f"{where}an address is taken of what no name holds"
            elif root not in living:
                yield (f"{where}{root!r} is neither a parameter, nor bound once and then returned "
                       f"or kept by {_KEEP} at the end")

    def _top_level(self) -> Iterator[tuple[str, ast.AST]]:
        """Names that are bound once, by a statement of the function's body itself, and to what."""
        for statement in self._function.body:
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                continue
            target, value = statement.targets[0], statement.value
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=False))
            for one, its in pairs:
                if isinstance(one, ast.Name) and self._bound.count(one.id) == 1:
                    yield one.id, its

    def _parts(self) -> set[str]:
        """Names of parts of parameters: ``q = activations.q``, ``row = rows[n]``."""
        parts: set[str] = set()
        for name, value in self._top_level():
            if _root(value) in {*self._parameters, *parts} and not isinstance(value, ast.Name):
                parts.add(name)
        return parts

    def _kept(self) -> set[str]:
        """Names in the last statements: ``keep_alive(a)``, ``return b``; none if it ends before."""
        returns = [node for node in self._nodes if isinstance(node, ast.Return)]
        body = list(self._function.body)
        kept: set[str] = set()
        if returns and returns == body[-1:]:
            kept.add(_root(returns[0].value) or "")
            body.pop()
        elif returns:
            return set()
        while body and _is_keep(body[-1]):
            kept.add(_root(body.pop().value.args[0]) or "")
        return kept & {name for name, _ in self._top_level()}

    def _escaping(self) -> Iterator[str]:
        """Returned addresses, and names that hold some."""
        holding: set[str] = set()
        assigned = [node for node in self._nodes if isinstance(node, ast.Assign | ast.AugAssign)]
        for _ in (*assigned, None):   # as often as it takes
            for node in assigned:
                if _mentions(node.value, holding):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    holding |= {
                        name.id for target in targets for name in ast.walk(target)
                        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
                    }
        for node in self._nodes:
            leaves = isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value
            if leaves and _mentions(node.value, holding):
                yield f"line {node.lineno}: an address is returned"


def _is_keep(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == _KEEP


def _mentions(value: ast.AST, holding: set[str]) -> bool:
    """Whether an address is in the value of an expression; what a subscript selects by is not."""
    if isinstance(value, ast.Subscript):
        return _mentions(value.value, holding)
    if _is_ctypes(value) or (isinstance(value, ast.Name) and value.id in holding):
        return True
    return any(_mentions(child, holding) for child in ast.iter_child_nodes(value))
