"""Reading the fields of a record, whatever the schema it was written with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from eventkit.codec.building import builder, default_maker
from eventkit.codec.shapes import Convert, Misfit, Reading, Shape
from eventkit.codec.written import Written


class RecordReader:
    """Makes instances of a model, or its field values, from what fastavro read.

    A field that the class no longer has is dropped, one that was not written yet gets its default,
    and one that was renamed is found by its pydantic alias.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model
        self._sources: list[tuple[str, str]] = []
        self._steps: list[tuple[str, Convert]] = []
        self._added: dict[str, Convert] = {}
        self._order: list[str] = []
        self._as_written = False
        self._build: Convert = builder(model, ())
        self.read: Convert = self._read
        """From what fastavro read to an instance of the model; the datum is used up."""

    def learn(
        self,
        fields: dict[str, Shape],
        infos: dict[str, FieldInfo],
        written: Written,
        reading: Reading,
    ) -> None:
        """Get to know the fields, once `reading` holds this reader: a record may hold itself.

        Raises:
            Misfit: a field cannot be read, or was not written and has no default.
        """
        stored = written.fields()
        self._order = list(fields)
        for name, shape in fields.items():
            source = _source(name, infos[name], stored, fields)
            if source is None:
                if infos[name].is_required():
                    raise Misfit("it was not written then and has no default now", name)
                self._added[name] = default_maker(self._model, infos[name])
                continue
            self._sources.append((name, source))
            try:
                read = reading.reader(shape, stored[source])
            except Misfit as error:
                raise Misfit.at(name, error) from None
            if read is not None:
                self._steps.append((name, read))
        self._as_written = self._order == list(stored)
        self._build = builder(self._model, (name for name, _ in self._sources))
        if self._as_written and not self._steps:
            self.read = self._build

    def values(self, datum: dict[str, Any]) -> dict[str, Any]:
        """The field values, in the order of the class; `datum` may be changed and used up.

        Raises:
            Misfit: a value cannot be one of today's class.
        """
        if not self._as_written:
            datum = {name: datum[source] for name, source in self._sources}
        name = ""
        try:
            for name, read in self._steps:
                datum[name] = read(datum[name])
            if self._added:
                return self._with_defaults(datum)
        except RecursionError:
            raise
        except Exception as error:
            raise Misfit.at(name, error) from error
        return datum

    def _with_defaults(self, read: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in self._order:
            make = self._added.get(name)
            values[name] = read[name] if make is None else make(values)
        return values

    def _read(self, datum: dict[str, Any]) -> Any:
        return self._build(self.values(datum))


def _source(
    name: str, info: FieldInfo, stored: dict[str, Any], fields: dict[str, Shape]
) -> str | None:
    """The written field that a field is read from: its own name, else an alias no field has."""
    if name in stored:
        return name
    old_names = (alias for alias in _aliases(info) if alias in stored and alias not in fields)
    return next(old_names, None)


def _aliases(info: FieldInfo) -> Iterator[str]:
    choices = info.validation_alias
    for alias in choices.choices if isinstance(choices, AliasChoices) else (choices, info.alias):
        if isinstance(alias, str):
            yield alias
