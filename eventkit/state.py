"""The typed fields of an aggregate: which there are, what they start as, the model they form."""

from __future__ import annotations

import dataclasses
from copy import deepcopy
from typing import Any, get_type_hints

from pydantic import BaseModel, PydanticUserError, create_model
from pydantic.fields import FieldInfo
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
        self.names = tuple(_annotated(owner, base))
        taken = [name for name in self.names if hasattr(base, name)]
        if taken:
            raise AggregateError(
                f"{owner.__name__} cannot have a field called {taken[0]!r}: that name belongs to "
                f"{base.__name__} itself. Choose another."
            )
        self._fresh: dict[str, Any] = {}
        self._model: type[BaseModel] | None = None
        self._defaults: dict[str, Any] = {}
        for name in self.names:
            if hasattr(owner, name):
                self._take_default(name, getattr(owner, name))

    def _take_default(self, name: str, default: Any) -> None:
        """Leave plain defaults on the class; remember what each instance needs its own copy of."""
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
    """Names of typed fields, base classes first, without class variables and private names."""
    found: dict[str, None] = {}
    for cls in reversed(owner.__mro__):
        if cls is base or not issubclass(cls, base):
            continue
        for name, hint in get_annotations(cls, format=Format.FORWARDREF).items():
            text = hint if isinstance(hint, str) else repr(hint)
            if not name.startswith("_") and "ClassVar" not in text.partition("[")[0]:
                found[name] = None
    return found
