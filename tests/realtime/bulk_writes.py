"""Static scan for writes to watched models that send no signals: the ORM's bulk writes, and raw SQL.

A write is correct if its function has called ``announce`` before, or if it is in a private helper and all its callers
in the module have done so. Everything else is a finding, also if the model cannot be determined.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Labels = frozenset[str]
"""Labels of models. ``UNKNOWN``: the model cannot be determined."""

UNKNOWN: Labels = frozenset({"?"})
NOTHING: Labels = frozenset()

BULK = {"bulk_create", "abulk_create", "bulk_update", "abulk_update", "_raw_delete", "raw"}
UPDATE = {"update", "aupdate"}
SQL = {"execute", "executemany", "RunSQL"}

MANAGERS = {"objects", "_base_manager", "_default_manager"}


@dataclass(frozen=True)
class Models:
    """The project's models: labels by class name and by related manager's name, and fields by label."""

    by_class: dict[str, Labels]
    by_accessor: dict[str, Labels]
    fields: dict[str, frozenset[str]]

    def named(self, label: str) -> Labels:
        """The model with this label, in any case."""
        found = {each for each in self.fields if each.lower() == label.lower()}
        return frozenset(found) or UNKNOWN

    def having(self, names: set[str | None]) -> Labels:
        """The models that have all of these fields. None stands for unknown fields (``**kwargs``)."""
        return frozenset(label for label, fields in self.fields.items() if names - {None} <= fields)


@dataclass(frozen=True)
class Finding:
    """A write without an announcement."""

    path: str
    function: str
    line: int
    write: str
    models: Labels

    @property
    def location(self) -> str:
        return f"{self.path} {self.function}"

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.function}: {self.write} of {', '.join(sorted(self.models))}"


@dataclass
class Function:
    """A function or method with its inner functions, or the top-level code of a module or class."""

    name: str
    nodes: list[ast.stmt]
    arguments: list[ast.arg] = field(default_factory=list)

    def walk(self) -> Iterator[ast.AST]:
        for node in self.nodes:
            yield from ast.walk(node)

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in self.walk() if isinstance(node, ast.Call))


class Module:
    """One file's source."""

    def __init__(self, path: str, source: str, models: Models, watched: Labels) -> None:
        self.path = path
        self.models = models
        self.watched = watched
        tree = ast.parse(source)
        self.functions = {function.name: function for function in _functions(tree.body)}
        self.top = Function("<module>", [node for node in tree.body if not isinstance(node, DEFINITIONS)])
        self.returns = {
            node.name: node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns
        }

    def findings(self) -> list[Finding]:
        return [
            Finding(self.path, function.name, call.lineno, name_of(call), models)
            for function in [self.top, *self.functions.values()]
            for call, models in self.writes(function)
            if not self.is_announced(function, call.lineno)
        ]

    def writes(self, function: Function) -> Iterator[tuple[ast.Call, Labels]]:
        """The calls that may write rows of watched models without signals."""
        for call in function.calls():
            name = name_of(call)
            if name in SQL:
                models = NOTHING if _only_reads(call) else UNKNOWN
            # Of all methods named ``update``, only that of querysets takes only keyword arguments.
            elif name in UPDATE and not call.args:
                models = self._updated(call, function)
            elif name in BULK:
                models = self.resolve(_receiver(call), function)
            else:
                continue
            if models & (self.watched | UNKNOWN):
                yield call, models

    def _updated(self, call: ast.Call, function: Function) -> Labels:
        """The models of an update. An unknown one counts only if a watched model has these fields."""
        models = self.resolve(_receiver(call), function)
        possible = self.models.having({keyword.arg for keyword in call.keywords}) & self.watched
        return models if possible else models - UNKNOWN

    # Announcements

    def is_announced(self, function: Function, line: int, seen: frozenset[str] = frozenset()) -> bool:
        """Return True if ``announce`` is called before this line, or by all callers before their calls."""
        if any(call.lineno < line and self.announces(call) for call in function.calls()):
            return True
        own = function.name.rpartition(".")[2]
        if not own.startswith("_") or own in seen:
            return False
        callers = [
            (caller, call.lineno)
            for caller in self.functions.values()
            for call in caller.calls()
            if name_of(call) == own and caller is not function
        ]
        return bool(callers) and all(self.is_announced(caller, at, seen | {own}) for caller, at in callers)

    def announces(self, call: ast.Call) -> bool:
        """Return True for a call of ``announce``, or of a function of this module that calls it."""
        name = name_of(call)
        if name == "announce":
            return True
        called = self.functions.get(name) if isinstance(call.func, ast.Name) else None
        return called is not None and any(name_of(inner) == "announce" for inner in called.calls())

    # Models of querysets

    def resolve(self, node: ast.expr | None, function: Function, seen: frozenset[str] = frozenset()) -> Labels:
        match node:
            case ast.Name(id=name):
                return UNKNOWN if name in seen else self._named(name, function, seen | {name})
            case ast.Attribute(value=value, attr=attr) if attr in MANAGERS:
                return self._model(value, function, seen)
            case ast.Attribute(attr=attr):
                return self.models.by_accessor.get(attr, UNKNOWN)
            case ast.Call(func=ast.Name(id=name)):
                return self._annotated(self.returns.get(name))
            case ast.Call(func=ast.Attribute(value=value)):
                return self.resolve(value, function, seen)
            case ast.IfExp(body=body, orelse=orelse):
                return self.resolve(body, function, seen) | self.resolve(orelse, function, seen)
            case ast.BinOp(left=left):
                return self.resolve(left, function, seen)
            case ast.Subscript() | ast.Dict():
                # An instance, a list of instances, or a dict: no queryset.
                return NOTHING
        return UNKNOWN

    def _model(self, node: ast.expr, function: Function, seen: frozenset[str]) -> Labels:
        """The models of the expression before ``.objects``: a class, or ``apps.get_model("label")``."""
        match node:
            case ast.Call(args=[ast.Constant(value=str(label))]) if name_of(node) == "get_model":
                return self.models.named(label)
            case ast.Attribute(attr="through"):
                # A many-to-many table that Django has created.
                return NOTHING
            case ast.Attribute(attr=name):
                return self.models.by_class.get(name, UNKNOWN)
            case ast.Name(id=name) if name in self.models.by_class:
                return self.models.by_class[name]
            case ast.Name(id=name) if name not in seen:
                found = [self._model(value, function, seen | {name}) for value in self._assigned(name, function)]
                return frozenset().union(*found) if found else UNKNOWN
        return UNKNOWN

    def _named(self, name: str, function: Function, seen: frozenset[str]) -> Labels:
        """The models of a variable: those of all values assigned to it."""
        for argument in function.arguments:
            if argument.arg == name:
                return self._annotated(argument.annotation)
        found = [self.resolve(value, function, seen) for value in self._assigned(name, function)]
        return frozenset().union(*found) if found else UNKNOWN

    def _assigned(self, name: str, function: Function) -> list[ast.expr]:
        """The values assigned to a variable in the function, or else in the module."""
        for scope in (function, self.top):
            if values := [value for node in scope.walk() for value in _values(node, name)]:
                return values
        return []

    def _annotated(self, annotation: ast.expr | None) -> Labels:
        """The models of the annotation ``QuerySet[Model]``, or of a type alias for it."""
        match annotation:
            case ast.Subscript(slice=ast.Name(id=name)):
                return self.models.by_class.get(name, UNKNOWN)
            case ast.Name(id=name):
                found = [self._annotated(value) for value in self._assigned(name, self.top)]
                return frozenset().union(*found) if found else UNKNOWN
        return UNKNOWN


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _functions(body: Iterable[ast.stmt], prefix: str = "") -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            plain = [each for each in node.body if not isinstance(each, DEFINITIONS)]
            yield Function(f"{prefix}{node.name}", plain)
            yield from _functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield Function(f"{prefix}{node.name}", node.body, arguments)


def _values(node: ast.AST, name: str) -> list[ast.expr]:
    """The values that this statement assigns to the variable; for a loop, the items of its tuple or list."""
    match node:
        case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
            return [value]
        case ast.AnnAssign(target=ast.Name(id=target), value=value) if target == name and value is not None:
            return [value]
        case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
            return [value]
        case ast.For(target=ast.Name(id=target), iter=ast.Tuple(elts=each) | ast.List(elts=each)) if target == name:
            return list(each)
    return []


def name_of(call: ast.Call) -> str:
    """The name of the called function or method, without its object."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _only_reads(call: ast.Call) -> bool:
    """Return True for literal SQL that begins like a statement that changes no row."""
    match call.args:
        case [ast.Constant(value=str(text)), *_] | [ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]), *_]:
            return text.startswith(("SELECT ", "SET TRANSACTION "))
    return False


def _receiver(call: ast.Call) -> ast.expr | None:
    return call.func.value if isinstance(call.func, ast.Attribute) else None
