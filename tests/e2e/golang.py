"""JSON as programs in Go read it: into structs, whose fields have one type each.

A struct is a dict from fields' names to kinds: ``int``, ``float``, ``str``, ``bool``, another struct, ``[kind]`` for a
list, ``(kind,)`` for what may be null, ``object`` for anything. A name that ends in "?" may be missing.
"""

from typing import Any

Struct = dict[str, Any]

# A number with a fraction, 1.0 too, is no int in Go; Python's parser keeps the two apart as well.


def decode(kind: Any, value: Any, where: str = "") -> Any:
    """What of the value goes into this kind; the fields that a struct does not have are dropped.

    Raises AssertionError, which says where, for what Go could not decode and for what it would miss.
    """
    match kind:
        case tuple():
            (inner,) = kind
            return None if value is None else decode(inner, value, where)
        case list():
            (inner,) = kind
            assert isinstance(value, list), f"{where}: no list, but {value!r}"
            return [decode(inner, each, f"{where}[{index}]") for index, each in enumerate(value)]
        case dict():
            assert isinstance(value, dict), f"{where}: no object, but {value!r}"
            return {
                name: decode(inner, value[name], f"{where}.{name}")
                for name, inner in ((name.removesuffix("?"), inner) for name, inner in kind.items())
                if _is_there(name, kind, value, where)
            }
    kinds = (int, float) if kind is float else kind
    right = isinstance(value, kinds) and (kind in (bool, object) or not isinstance(value, bool))
    assert right, f"{where}: no {kind.__name__}, but {value!r}"
    return value


def _is_there(name: str, struct: Struct, value: dict[str, Any], where: str) -> bool:
    assert name in value or f"{name}?" in struct, f"{where} has no {name}"
    return name in value
