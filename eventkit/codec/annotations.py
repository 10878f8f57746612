"""From a pydantic class to its shape: which annotations can be kept, and how."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Hashable
from datetime import date
from enum import Enum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import pydantic
from pydantic import BaseModel, JsonValue, TypeAdapter
from typing_extensions import TypeAliasType, is_typeddict

from eventkit.codec.containers import ArrayShape, JsonShape, MapShape, PairsShape
from eventkit.codec.names import is_avro_name
from eventkit.codec.records import RecordShape
from eventkit.codec.scalars import (
    DATETIME,
    NAIVE_DATETIME,
    NONE,
    SCALARS,
    STR,
    EnumShape,
    TextShape,
)
from eventkit.codec.shapes import Misfit, Shape
from eventkit.codec.unions import union_of
from eventkit.errors import UnsupportedType

_SPECIAL: dict[Any, Shape] = {
    pydantic.AwareDatetime: DATETIME,
    pydantic.PastDatetime: DATETIME,
    pydantic.FutureDatetime: DATETIME,
    pydantic.NaiveDatetime: NAIVE_DATETIME,
    pydantic.PastDate: SCALARS[date],
    pydantic.FutureDate: SCALARS[date],
    None: NONE,
    Any: JsonShape("JSON"),
    object: JsonShape("JSON"),
    JsonValue: JsonShape("JSON"),
    dict: JsonShape("JSON object", dict),
    list: JsonShape("JSON array", list),
    dict[str, Any]: JsonShape("JSON object", dict),
    dict[str, JsonValue]: JsonShape("JSON object", dict),
    list[Any]: JsonShape("JSON array", list),
    list[JsonValue]: JsonShape("JSON array", list),
}
_ARRAYS = (list, set, frozenset)
_ALIASES = (TypeAliasType, getattr(typing, "TypeAliasType", TypeAliasType))
"""Of `type X = ...`, and of the backport, which is a class of its own."""


def shape_of(model: type[BaseModel]) -> RecordShape:
    """The shape of a pydantic class.

    Raises:
        UnsupportedType: a field has a type that cannot be kept; says which and what to write.
    """
    return _Shapes().record(model)


class _Shapes:
    """The shapes of one class and of all it holds; each record and enum has one."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def record(self, model: type[BaseModel]) -> RecordShape:
        if model in self._found:
            found: RecordShape = self._found[model]
            return found
        _check_model(model)
        shape = self._found[model] = RecordShape(model)
        for name, info in model.__pydantic_fields__.items():
            where = f"{model.__name__}.{name}"
            if not is_avro_name(name):
                raise UnsupportedType(
                    where, "field names in Avro are ASCII letters, digits and _; rename it"
                )
            try:
                shape.fields[name] = self.shape(info.annotation)
            except Misfit as error:
                raise UnsupportedType(f"{where}: {_words(info.annotation)}", str(error)) from error
            except RecursionError as error:
                reason = "the type holds itself; write the recursion as a model"
                raise UnsupportedType(where, reason) from error
            shape.infos[name] = info
        shape.empty = all(field.empty for field in shape.fields.values())
        return shape

    def shape(self, annotation: Any) -> Shape:
        """The shape of any annotation; raises `Misfit` where there is none."""
        annotation = _unwrapped(annotation)
        if isinstance(annotation, Hashable) and annotation in _SPECIAL:
            return _SPECIAL[annotation]
        origin, args = get_origin(annotation), get_args(annotation)
        if origin is Union or origin is UnionType:
            return self._union(args)
        if origin is Literal:
            return union_of([self.shape(type(value)) for value in args])
        if origin is not None:
            return self._container(annotation, origin, args)
        if isinstance(annotation, type):
            return self._class(annotation)
        if isinstance(annotation, TypeVar):
            raise Misfit(f"{annotation} is not known; write the parameter, as Box[int]")
        return _text(annotation)

    def _union(self, args: tuple[Any, ...]) -> Shape:
        members = [self.shape(arg) for arg in args]
        json = [m for m in members if isinstance(m, JsonShape) and NoneType in m.takes]
        return json[0] if json else union_of(members)  # JSON holds whatever the others could

    def _container(self, annotation: Any, origin: Any, args: tuple[Any, ...]) -> Shape:
        if origin in _ARRAYS:
            return ArrayShape(origin, self.shape(args[0]))
        if origin is tuple:
            return self._tuple(args)
        if origin is dict:
            key, value = (self.shape(arg) for arg in args)
            return MapShape(value) if key is STR else PairsShape(key, value)
        return _text(annotation)

    def _tuple(self, args: tuple[Any, ...]) -> Shape:
        if len(args) == 2 and args[1] is Ellipsis:  # noqa: PLR2004 - tuple[X, ...]
            return ArrayShape(tuple, self.shape(args[0]))
        if len(set(args)) != 1:
            raise Misfit("its items differ in type; write a model with a named field for each")
        return ArrayShape(tuple, self.shape(args[0]), length=len(args))

    def _class(self, cls: type) -> Shape:
        if cls in SCALARS:
            return SCALARS[cls]
        if issubclass(cls, BaseModel):
            return self.record(cls)
        if issubclass(cls, Enum):
            if cls not in self._found:
                self._found[cls] = EnumShape(cls)
            shape: EnumShape = self._found[cls]
            return shape
        if dataclasses.is_dataclass(cls) or is_typeddict(cls) or issubclass(cls, tuple):
            raise Misfit("write it as a pydantic model")
        return _text(cls)


def _check_model(model: type[BaseModel]) -> None:
    if not model.__pydantic_complete__:
        model.model_rebuild(raise_errors=False)
    if not model.__pydantic_complete__:
        reason = "it mentions a type that is not defined, or not where its module can see it"
        raise UnsupportedType(model.__name__, reason)
    if model.model_config.get("extra") == "allow":
        reason = "extra='allow' lets in fields without a type; give them one, as dict[str, Any]"
        raise UnsupportedType(model.__name__, reason)
    if model.model_config.get("use_enum_values"):
        reason = "use_enum_values makes other values of enums; leave it out"
        raise UnsupportedType(model.__name__, reason)


def _unwrapped(annotation: Any) -> Any:
    """An annotation without aliases, new names and metadata: none of them changes what is kept."""
    while annotation is not JsonValue:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, _ALIASES):
            annotation = annotation.__value__
        elif isinstance(origin, _ALIASES):
            annotation = origin.__value__[get_args(annotation)]
        else:
            return annotation
    return annotation


def _text(annotation: Any) -> Shape:
    """What pydantic itself writes as text and reads back."""
    advice = "write list, set, tuple, dict or a pydantic model instead"
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        kind = adapter.json_schema(mode="serialization").get("type")
    except Exception as error:
        raise Misfit(f"pydantic cannot write it either; {advice}") from error
    if kind != "string":
        raise Misfit(advice)
    return TextShape(_words(annotation), adapter, (annotation,))


def _words(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
