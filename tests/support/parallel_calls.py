"""Which calls of kernels in several threads are outside of ``parallel_region``.

``faults`` reads Python, it runs nothing, and knows functions by their names within one file: those
with the decorator, what ``in_chunks`` gives, and compiled functions that call one of these.
"""

import ast

__all__ = ["faults"]

_REGION = "parallel_region"


def faults(source: str) -> list[str]:
    """A sentence for each such call by a function that is not compiled itself, with its line."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    parallel = {function.name for function in functions if _is_parallel(function)}
    parallel |= {
        target.id for node in ast.walk(tree) if isinstance(node, ast.Assign) and _makes(node.value)
        for target in node.targets if isinstance(target, ast.Name)
    }
    compiled = [function for function in functions if _is_compiled(function)]
    for _ in compiled:   # a compiled function that calls a parallel one is one of them
        parallel |= {function.name for function in compiled if _calls(function) & parallel}
    guarded = {
        id(call) for node in ast.walk(tree) if isinstance(node, ast.With) and _guards(node)
        for call in ast.walk(node)
    }
    inside = {id(node) for function in compiled for node in ast.walk(function)}
    return [
        f"line {node.lineno}: {ast.unparse(node.func)} runs in several threads outside of {_REGION}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (ast.unparse(node.func) in parallel or _makes(node.func))
        and id(node) not in guarded | inside
    ]


def _is_compiled(function: ast.FunctionDef) -> bool:
    return any("njit" in ast.unparse(one) for one in function.decorator_list)


def _is_parallel(function: ast.FunctionDef) -> bool:
    return any("parallel=True" in ast.unparse(one) for one in function.decorator_list)


def _makes(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "in_chunks"


def _calls(function: ast.FunctionDef) -> set[str]:
    return {
        node.func.id for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def _guards(statement: ast.With) -> bool:
    return any(_REGION in ast.unparse(item.context_expr) for item in statement.items)
