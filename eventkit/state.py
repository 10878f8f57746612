"""The typed fields of an aggregate: which there are, what they start as, the model they form.

Those whose names begin with `_` are private: an aggregate has its own copies of their defaults as
well, but they are no part of the state that is shown, compared and kept in snapshots.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, MutableSet
from copy import deepcopy
from typing import Any, get_type_hints

from pydantic import BaseModel, PydanticUserError, create_model
from pydantic.fields import FieldInfo, ModelPrivateAttr
from pydantic_core import PydanticUndefined
from typing_extensions import Format, get_annotations

from eventkit.errors import AggregateError
from eventkit.mutability import IMMUTABLE


class StateFields:
    """The fields of one aggregate class.

    Names and defaults are known when the class is defined; types are resolved when they are first
    needed, because a field may name a class that comes later in the module.
    """

    def __init__(self, owner: type, base: type) -> None:
        self._owner = owner
        typed = _annotated(owner, base)
        self.names = tuple(name for name in typed if not name.startswith("_"))
        taken = [name for name in typed if hasattr(base, name)]
        if taken:
            raise AggregateError(
                f"{owner.__name__} cannot have a field called {taken[0]!r}: that name belongs to "
                f"{base.__name__} itself. Choose another."
            )
        self._fresh: dict[str, Any] = {}
        self._model: type[BaseModel] | None = None
        self._defaults: dict[str, Any] = {}
        self._private: dict[str, Any] = {}
        for name in self.names:
            if hasattr(owner, name):
                self._take_default(name, getattr(owner, name))
        for name in typed.keys() - {*self.names}:
            if hasattr(owner, name) and not hasattr(getattr(owner, name), "__get__"):
                self._take_private(name, getattr(owner, name))
        _refuse_shared(owner, base)

    def _take_default(self, name: str, default: Any) -> None:
        """Leave plain defaults on the class; remember what each instance needs its own copy of."""
        if isinstance(default, ModelPrivateAttr):
            default = FieldInfo(default=default.default, default_factory=default.default_factory)
        if isinstance(default, dataclasses.Field):
            missing = default.default is dataclasses.MISSING
            factory = default.default_factory
            default = FieldInfo(
                default=PydanticUndefined if missing else default.default,
                default_factory=None if factory is dataclasses.MISSING else factory,
            )
        if isinstance(default, FieldInfo):
            if default.is_required():
                delattr(self._owner, name)
                return
            make = default.default_factory
            default = default.default if make is None else make()  # type: ignore[call-arg]
            setattr(self._owner, name, default)
        self._defaults[name] = default
        if not isinstance(default, IMMUTABLE):
            self._fresh[name] = default

    def _take_private(self, name: str, given: Any) -> None:
        self._take_default(name, given)
        default = self._fresh.pop(name, None)
        try:
            can_change = deepcopy(default) is not default
        except Exception as error:
            raise AggregateError(
                f"{self._owner.__name__} cannot copy the default of {name!r} for each aggregate: "
                f"{error}. If all are to share it, type it so: {name}: ClassVar[...]."
            ) from error
        if can_change:
            self._fresh[name] = self._private[name] = default

    def unchanged(self, values: Mapping[str, Any]) -> Iterator[str]:
        """The private fields among these values that are as a new aggregate has them.

        Equal is not enough: `[True] == [1]`. What cannot be told counts as changed.
        """
        for name in self._private.keys() & values.keys():
            try:
                # With a copy, as the value is one: the order of a set depends on how it was made.
                new = pickle.dumps(deepcopy(self._private[name]))
                if pickle.dumps(values[name]) == new:
                    yield name
            except Exception:  # noqa: BLE001, S112 - whatever the user's classes raise
                continue

    def fresh(self) -> dict[str, Any]:
        """Own copies of the defaults that could change, a copy a field even where two share one."""
        if not self._fresh:
            return {}
        return {name: deepcopy(default) for name, default in self._fresh.items()}

    @property
    def model(self) -> type[BaseModel]:
        """The fields as a pydantic model: what snapshots and JSON output are made by."""
        if self._model is None:
            try:
                hints = get_type_hints(self._owner, include_extras=True)
                fields = {name: (hints[name], self._defaults.get(name, ...)) for name in self.names}
                self._model = create_model(f"{self._owner.__name__}State", **fields)  # type: ignore[call-overload]
            except (NameError, TypeError, PydanticUserError) as error:
                raise AggregateError(
                    f"the fields of {self._owner.__name__} cannot be read: {error}. "
                    "Give them types that pydantic knows, defined in the module."
                ) from error
        return self._model


def _annotated(owner: type, base: type) -> dict[str, None]:
    """Names of typed fields, base classes first, without class variables."""
    found: dict[str, None] = {}
    for cls in reversed(owner.__mro__):
        if cls is base or not issubclass(cls, base):
            continue
        for name, hint in get_annotations(cls, format=Format.FORWARDREF).items():
            if not _is_class_variable(hint):
                found[name] = None
    return found


def _is_class_variable(hint: Any) -> bool:
    text = hint if isinstance(hint, str) else repr(hint)
    return "ClassVar" in text.partition("[")[0]


def _refuse_shared(owner: type, base: type) -> None:
    """See that no default that can change is left to all aggregates of the class by mistake.

    Names in capitals are constants. A class that is no aggregate, but a base of one, has no fields.
    """
    known = {*_annotated(owner, base)}
    for cls in owner.__mro__:
        hints = get_annotations(cls, format=Format.FORWARDREF)
        known |= {name for name, hint in hints.items() if _is_class_variable(hint)}
    for cls in owner.__mro__:
        if cls in base.__mro__:
            continue
        for name, value in vars(cls).items():
            if name in known or name.startswith("__") or name.isupper() or not _changes(value):
                continue
            kind = type(value).__name__
            raise AggregateError(
                f"all aggregates of {owner.__name__} would share the {kind} {cls.__name__}.{name}. "
                f"If it is state, make it a typed field of an Aggregate class: {name}: {kind}; if "
                f"they are to share it, say so: {name}: ClassVar[{kind}]."
            )


def _changes(value: object) -> bool:
    if isinstance(value, BaseModel):
        return not value.model_config.get("frozen")
    return isinstance(value, MutableSequence | MutableMapping | MutableSet)
