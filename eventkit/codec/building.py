"""Model instances made from values that are right already, as validation would have made them.

What is read from the log was validated when it was written. Validating it again would cost more
than reading it, would refuse history whenever a rule is tightened (or says "in the future"), and
would apply a validator twice that changes its value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

Build = Callable[[dict[str, Any]], Any]

_set_dict = BaseModel.__dict__["__dict__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_fields_set = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__


def builder(model: type[BaseModel], given: Iterable[str]) -> Build:
    """A function from field values to an instance of `model`.

    The dict becomes the instance's own. It holds every field, in the order of the class.

    Parameters:
        model: the class; its private attributes and `model_post_init` are taken care of.
        given: the fields that count as set, the others being defaults.
    """
    new, fields_set = model.__new__, frozenset(given)

    def build(values: dict[str, Any]) -> Any:
        instance = new(model)
        _set_dict(instance, values)
        _set_extra(instance, None)
        _set_fields_set(instance, set(fields_set))
        _set_private(instance, None)
        return instance

    if not model.__pydantic_post_init__:
        return build

    def build_and_init(values: dict[str, Any]) -> Any:
        instance = build(values)
        instance.model_post_init(None)
        return instance

    return build_and_init


def default_maker(model: type[BaseModel], info: FieldInfo) -> Callable[[dict[str, Any]], Any]:
    """A function that makes the default of a field, from the values of the fields before it.

    Parameters:
        model: the class of the field.
        info: the field; it has a default.
    """

    def make(earlier: dict[str, Any]) -> Any:
        return info.get_default(call_default_factory=True, validated_data=earlier)

    validate = info.validate_default
    if not (model.model_config.get("validate_default") if validate is None else validate):
        return make
    annotated: Any = info.annotation
    for metadata in info.metadata:
        annotated = Annotated[annotated, metadata]
    adapter: TypeAdapter[Any] = TypeAdapter(annotated)
    return lambda earlier: adapter.validate_python(make(earlier))
