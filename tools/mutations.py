"""The mutants of a file: which they are, and how one takes the place of the function that it changes.

The operators are mutmut's. What says nothing about arithmetic is left out (see `LEFT_OUT`), and so is a mutant whose
bytecode is that of its function.
"""

from __future__ import annotations
import __future__

import difflib
import gc
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final, NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import Mutation, MutationVisitor, OuterFunctionProvider
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

LEFT_OUT: Final = {
    "error": "what a raise statement says",
    "log": "what a log line or a warning says",
    "text": "texts of two or more words that are no SQL",
    "repr": "__repr__ and __str__",
    "drill": "what an alert's drill plays: the input of a test",
    "setting": "strict=, encoding=, errors=, newline=, daemon=, stacklevel=, and the type of a cast",
    "case": "capitals of a string whose letters are changed by another mutant",
    "same": "mutants that compile to the bytecode of the original",
}
"""Kinds of mutants that say nothing about arithmetic."""
_SETTINGS: Final = {"strict", "encoding", "errors", "newline", "daemon", "stacklevel"}
_DRILLS: Final = {"Drill", "Counter", "Gauge", "Histogram"}
_LOGS: Final = {"debug", "info", "warning", "error", "exception", "critical", "log", "warn"}
_LOGGERS: Final = re.compile(r"(^|\.)_*(log|logger|logging|warnings)$", re.IGNORECASE)
_SQL: Final = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|FROM|WHERE|SET|AND|ORDER BY|GROUP BY|VALUES)\b")


class Mutant(NamedTuple):
    """A change of one function."""

    name: str
    """FILE:FUNCTION:NUMBER, stable as long as the function is."""
    path: str
    """The file, from the root of the repository."""
    function: str
    """Its qualified name."""
    lines: tuple[int, int]
    """The statement that is changed."""
    body: tuple[int, int]
    """The function."""
    before: str
    after: str
    """The function's source, in its class."""
    default: tuple[str, str] | None
    """The parameter whose default is changed, and the new one."""

    @property
    def diff(self) -> str:
        """What is changed."""
        lines = difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="", n=2)
        return f"# {self.name} ({self.path}:{self.lines[0]})\n" + "\n".join(list(lines)[2:]) + "\n"


class _Visitor(MutationVisitor):
    """mutmut's visitor, which notes where each mutation is, and leaves out what says nothing about arithmetic."""

    METADATA_DEPENDENCIES = (PositionProvider, OuterFunctionProvider)

    def __init__(self) -> None:
        super().__init__(mutation_operators, IgnoredCode(set(), set(), set()))
        self.left_out: Counter[str] = Counter()
        self.places: list[tuple[tuple[int, int], str | None]] = []
        """Of each mutation: its statement's lines, and the parameter whose default it changes."""
        self._statements: list[cst.CSTNode] = []
        self._param: str | None = None
        self._why: list[tuple[cst.CSTNode, str]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.BaseStatement | cst.BaseSmallStatement):
            self._statements.append(node)
        if isinstance(node, cst.Param):
            self._param = node.name.value
        why = _why_left_out(node)
        if why is not None:
            self._why.append((node, why))
        count = len(self.mutations)
        deeper = super().on_visit(node)
        added = self.mutations[count:]
        del self.mutations[count:]
        for mutation in added:
            reason = self._why[-1][1] if self._why else _why_no_arithmetic(mutation)
            if reason is not None:
                self.left_out[reason] += 1
            else:
                self.mutations.append(mutation)
                self.places.append((self._lines(node), self._param))
        return deeper

    def on_leave(self, original_node: cst.CSTNode) -> None:
        super().on_leave(original_node)
        if self._statements and self._statements[-1] is original_node:
            self._statements.pop()
        if isinstance(original_node, cst.Param):
            self._param = None
        if self._why and self._why[-1][0] is original_node:
            self._why.pop()

    def _lines(self, node: cst.CSTNode) -> tuple[int, int]:
        statement = self._statements[-1] if self._statements else node
        begin = self.get_metadata(PositionProvider, statement).start.line
        if isinstance(statement, cst.BaseSmallStatement):
            return begin, self.get_metadata(PositionProvider, statement).end.line
        if isinstance(statement, cst.FunctionDef):
            return begin, self.get_metadata(PositionProvider, statement).end.line
        if isinstance(statement, cst.Match):
            return begin, begin
        return begin, self.get_metadata(PositionProvider, node).end.line


def _dotted(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def _why_left_out(node: cst.CSTNode) -> str | None:
    """Why nothing in a node is changed."""
    if isinstance(node, cst.Raise):
        return "error"
    if isinstance(node, cst.FunctionDef) and node.name.value in ("__repr__", "__str__"):
        return "repr"
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and node.func.attr.value in _LOGS:
        return "log" if _LOGGERS.search(_dotted(node.func.value)) else None
    if isinstance(node, cst.Call) and _dotted(node.func) in _DRILLS:
        return "drill"
    if isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value in _SETTINGS:
        return "setting"
    return None


def _why_no_arithmetic(mutation: Mutation) -> str | None:
    """Why a mutation says nothing about arithmetic."""
    old, new = mutation.original_node, mutation.mutated_node
    if isinstance(old, cst.SimpleString) and isinstance(new, cst.SimpleString):
        if "XX" not in new.value or "XX" in old.value:
            return "case"
        return "text" if re.search(r"\w\W* \W*\w", old.value) and not _SQL.search(old.value) else None
    if isinstance(old, cst.Call) and isinstance(new, cst.Call):
        if _dotted(old.func) in ("cast", "typing.cast"):
            return "setting"
        changed = [arg for arg in old.args if not any(arg is kept for kept in new.args)]
        if any(arg.keyword is not None and arg.keyword.value in _SETTINGS for arg in changed):
            return "setting"
        if changed and all(_text(arg.value) for arg in changed):
            return "text"
    return None


def _text(node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.SimpleString)
        and re.search(r"\w\W* \W*\w", node.value) is not None
        and not _SQL.search(node.value)
    )


def candidates(root: Path, path: Path, left_out: Counter[str]) -> Iterator[tuple[str, Callable[[], Mutant | None]]]:
    """Yield the mutants of a file: a name, and what makes the mutant, or None where its bytecode is the original's."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text("utf-8")))
    visitor = _Visitor()
    wrapper.visit(visitor)
    module, positions = wrapper.module, wrapper.resolve(PositionProvider)
    owners = {
        statement: owner
        for owner in module.body
        if isinstance(owner, cst.ClassDef)
        for statement in owner.body.body
        if isinstance(statement, cst.FunctionDef)
    }
    shown = str(path.relative_to(root))
    numbers: Counter[str] = Counter()
    for mutation, (lines, param) in zip(visitor.mutations, visitor.places, strict=True):
        function = mutation.contained_by_top_level_function
        if not isinstance(function, cst.FunctionDef):
            continue
        owner = owners.get(function)
        name = f"{owner.name.value}.{function.name.value}" if owner else function.name.value
        place = positions[function]
        body = (place.start.line, place.end.line)
        numbers[name] += 1
        number = f"{shown.removeprefix('src/tachograph/')}:{name}:{numbers[name]}"
        make = partial(_make, module, mutation, function, owner, param)
        yield number, partial(make, number, shown, name, lines, body)
    left_out.update(visitor.left_out)


def _make(
    module: cst.Module,
    mutation: Mutation,
    function: cst.FunctionDef,
    owner: cst.ClassDef | None,
    param: str | None,
    number: str,
    path: str,
    name: str,
    lines: tuple[int, int],
    body: tuple[int, int],
) -> Mutant | None:
    before = _source(module, function, owner)
    after = _source(module, function.deep_replace(mutation.original_node, mutation.mutated_node), owner)
    default = None
    if param is not None and lines[0] == body[0] and isinstance(mutation.mutated_node, cst.BaseExpression):
        default = (param, module.code_for_node(mutation.mutated_node))
    elif not _changes_bytecode(before, after, name):
        return None
    return Mutant(number, path, name, lines, body, before, after, default)


def _source(module: cst.Module, function: cst.CSTNode, owner: cst.ClassDef | None) -> str:
    assert isinstance(function, cst.FunctionDef)
    bare: cst.BaseStatement = function.with_changes(decorators=[], leading_lines=[])
    if owner is not None:
        bare = cst.ClassDef(name=owner.name, body=cst.IndentedBlock([bare]))
    return module.code_for_node(bare)


def code_of(source: str, name: str) -> CodeType:
    """Compile a function alone, or in its class."""
    code = compile(source, "mutant", "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    for part in name.split("."):
        code = next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == part)
    return code


def _changes_bytecode(before: str, after: str, name: str) -> bool:
    """Whether the change is one, and one that can take the function's place."""
    old, new = code_of(before, name), code_of(after, name)
    return old.co_freevars == new.co_freevars and _shape(old) != _shape(new)


def _shape(code: CodeType) -> tuple[object, ...]:
    constants = tuple(_shape(c) if isinstance(c, CodeType) else (type(c), repr(c)) for c in code.co_consts)
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable)


def functions_of(paths: set[str]) -> dict[tuple[str, str], list[FunctionType]]:
    """The functions that are defined in these files, by file and qualified name."""
    found: dict[tuple[str, str], list[FunctionType]] = defaultdict(list)
    gc.unfreeze()
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename in paths:
            found[thing.__code__.co_filename, thing.__code__.co_qualname].append(thing)
    return found


def apply(mutant: Mutant, functions: list[FunctionType]) -> None:
    """Put the mutant in its function's place, wherever that is referred to."""
    for function in functions:
        if mutant.default is None:
            code = code_of(mutant.after, mutant.function)
            function.__code__ = code.replace(co_filename=function.__code__.co_filename)
            continue
        name, text = mutant.default
        value = eval(text, function.__globals__)
        if function.__kwdefaults__ and name in function.__kwdefaults__:
            function.__kwdefaults__[name] = value
        else:
            names = function.__code__.co_varnames[: function.__code__.co_argcount]
            defaults = list(function.__defaults__ or ())
            defaults[names.index(name) - len(names)] = value
            function.__defaults__ = tuple(defaults)


def drawn_first(draw: int, name: str) -> bytes:
    """The order in which mutants are drawn."""
    return hashlib.sha256(f"{draw} {name}".encode()).digest()
