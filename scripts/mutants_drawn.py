"""Small changes of Python code: where cosmic-ray's operators can make them, and which of them change anything."""

import ast
import difflib
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
_SWAPS = {
    "Binary": "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Div FloorDiv_Mul Mod_FloorDiv Pow_Mul LShift_RShift "
              "RShift_LShift BitOr_BitAnd BitAnd_BitOr",
    "Comparison": "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is",
    "Unary": "USub_UAdd Delete_USub Invert_USub Delete_Invert Delete_Not",
}  # fmt: skip
OPERATORS = [f"core/Replace{kind}Operator_{swap}" for kind, swaps in _SWAPS.items() for swap in swaps.split()] + [
    f"core/{name}"
    for name in ("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "AddNot",
                 "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop")
]  # fmt: skip


class Mutant(NamedTuple):
    """One change of one place."""

    module: str
    line: int
    operator: str
    occurrence: int


def drawn(modules: Sequence[Path], count: int, rng: random.Random) -> list[Mutant]:
    """Places of the modules, drawn without replacement, with one change of each; places without a true one are not."""
    sites: dict[tuple[str, Any], list[Mutant]] = {}
    for path in modules:
        name, tree = str(path.relative_to(ROOT)), get_ast(path.read_text(encoding="utf-8"))
        for operator in OPERATORS:
            occurrences = itertools.count()
            for node in ast_nodes(tree):
                for start, stop in get_operator(operator)().mutation_positions(node):
                    mutant = Mutant(name, start[0], operator, next(occurrences))
                    sites.setdefault((name, (start, stop)), []).append(mutant)
    order = sorted(sites)
    rng.shuffle(order)
    chosen = (next((m for m in rng.sample(sites[s], len(sites[s])) if is_change(m)), None) for s in order)
    return list(itertools.islice(filter(None, chosen), count))


def mutated(mutant: Mutant) -> str:
    """The module's text with the change."""
    source = (ROOT / mutant.module).read_text(encoding="utf-8")
    return mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence) or source


def is_change(mutant: Mutant) -> bool:
    """Whether the program does anything else: it does not where only annotations and guards differ."""
    try:
        before, after = (
            _Bare().visit(ast.parse(t)) for t in ((ROOT / mutant.module).read_text("utf-8"), mutated(mutant))
        )
    except SyntaxError:
        return False
    return ast.dump(before) != ast.dump(after)


class _Bare(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        """To the operators, the bare * of a signature is a product."""
        node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        node.defaults = [*node.defaults, *filter(None, node.kw_defaults)]
        node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        """What only guards is no part of what a program does: a zip's ``strict``, a data class's ``frozen``."""
        if node.arg in ("strict", "frozen", "kw_only"):
            node.value = ast.Constant(value=True)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def statement(module: str, line: int) -> range:
    """The lines of the smallest statement that holds a line; of one with a body, its head."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    spans = []
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else (node.end_lineno or node.lineno)
            if node.lineno <= line <= max(last, node.lineno):
                spans.append(range(node.lineno, max(last, node.lineno) + 1))
    return min(spans, key=len, default=range(line, line + 1))


def at_import(module: str, line: int) -> bool:
    """Whether a line runs when its module is imported: it stands in no function's body."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    bodies = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    return not any(n.body[0].lineno <= line <= (n.end_lineno or 0) for n in bodies)


def change(mutant: Mutant) -> str:
    """The changed lines, before and after."""
    source = (ROOT / mutant.module).read_text(encoding="utf-8").splitlines()
    pairs = difflib.ndiff(source, mutated(mutant).splitlines())
    return " ".join(f"`{line[0]} {line[2:].strip()}`".replace("|", "\\|") for line in pairs if line[:2] in ("- ", "+ "))
