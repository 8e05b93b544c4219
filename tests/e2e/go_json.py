"""Checks that JSON can be decoded by Go into structs, whose fields have one type each.

A struct is a dict from field names to kinds: ``int``, ``float``, ``str``, ``bool``, another struct, ``[kind]`` for a
list, ``(kind,)`` for a nullable kind, ``object`` for any. A field whose name ends in "?" is optional.
"""

from typing import Any

Struct = dict[str, Any]


def decode(kind: Any, value: Any, path: str = "") -> Any:
    """The value decoded as this kind, without fields that the struct does not have.

    Raises AssertionError with the path of a value that Go could not decode, or of a missing field. As in Go, 1.0 is no
    int.
    """
    match kind:
        case tuple():
            (inner,) = kind
            return None if value is None else decode(inner, value, path)
        case list():
            (inner,) = kind
            assert isinstance(value, list), f"{path}: no list, but {value!r}"
            return [decode(inner, each, f"{path}[{index}]") for index, each in enumerate(value)]
        case dict():
            assert isinstance(value, dict), f"{path}: no object, but {value!r}"
            return {
                name: decode(inner, value[name], f"{path}.{name}")
                for name, inner in ((name.removesuffix("?"), inner) for name, inner in kind.items())
                if _has_field(name, kind, value, path)
            }
    kinds = (int, float) if kind is float else kind
    is_valid = isinstance(value, kinds) and (kind in (bool, object) or not isinstance(value, bool))
    assert is_valid, f"{path}: no {kind.__name__}, but {value!r}"
    return value


def _has_field(name: str, struct: Struct, value: dict[str, Any], path: str) -> bool:
    assert name in value or f"{name}?" in struct, f"{path} has no {name}"
    return name in value
