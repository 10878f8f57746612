"""The fingerprint of fold code: another one after every change that counts, else the same."""

import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from eventkit.fold_fingerprint import fold_fingerprint
from tests.unit.source import ROOT

# Packages of one user: `shop` (the aggregate), `tools` of the same repository, `contracts` with
# events that several services share, and `library`, which is somebody else's.
SOURCES = {
    "library": """
from functools import total_ordering

def foreign(points):
    return points

@total_ordering
class Figure:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    def __lt__(self, other):
        return self.value < other.value

class Meter:
    def __init__(self, count):
        self.count = count
""",
    "contracts.events": """
from enum import Enum
from typing import Annotated
from pydantic import AfterValidator, Field, field_validator
from eventkit import Event

class Level(Enum):
    LOW = 1
    HIGH = 2

def checked(points):
    return points

def start():
    return ["start"]

class Earned(Event):
    points: int
    bonus: int = 1
    notes: list[Annotated[str, AfterValidator(checked)]] = Field(default_factory=start)
    level: Level = Level.LOW

    def total(self):
        return self.points + self.bonus

    @field_validator("points")
    @classmethod
    def _positive(cls, value):
        return abs(value)

class Spent(Event):
    points: int

class Mixed(Event):
    points: int
""",
    "tools.base": """
from eventkit import Aggregate

class Auditable(Aggregate):
    changes: int = 0

    def count(self):
        self.changes += 1
""",
    "shop.rules": '''
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial

FACTOR = 2
RATE = Decimal("1.5")
NAMES = {"gold", "silver", "bronze"}
LIMITS = {"low": (1, 2), "high": [3, 4]}
PATTERN = re.compile("a+")

@dataclass
class Terms:
    days: int

    def late(self):
        return self.days > 30

TERMS = Terms(days=14)

def helper(points):
    """What it does."""
    def inner(value):
        return value * FACTOR
    return inner(points)

@cache
def cached(points):
    return points + 1

def scaled(points, by):
    return points * by

double = partial(scaled, by=2)

def gold(points):
    return points * 3

def silver(points):
    return points * 2

TABLE = {"gold": gold, "silver": [silver]}

def unused(points):
    return points
''',
    "shop.constants": """
import logging
from collections import defaultdict, deque
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cached_property, singledispatch, singledispatchmethod
from operator import attrgetter
from string import Template
from threading import Lock
from types import SimpleNamespace
from typing import Annotated, NewType
from library import Figure, Meter
from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, StringConstraints, TypeAdapter

@dataclass(frozen=True, slots=True)
class Rates:
    vat: Decimal

class Percent(Decimal):
    def of(self, points):
        return points * self / 100

class Prices(dict):
    def __missing__(self, key):
        return 21

class Fees(deque):
    pass

class Season:
    def __init__(self, days):
        self.days = days

    @cached_property
    def weeks(self):
        return self.days // 7

def shortened(text):
    return text[:9]

Text = NewType("Text", str)

class Note(BaseModel):
    text: Annotated[str, AfterValidator(shortened)] = ""
    title: Annotated[Text, StringConstraints(strip_whitespace=True)] = ""
    lines: list[Annotated[str, StringConstraints(to_upper=True)]] = []
    marks: list[Annotated[str, Field(max_length=111)]] = Field(default=[], max_length=121)
    code: str = Field(default="", pattern="^x?$")
    _seen: int = PrivateAttr(61)

@singledispatch
def priced(points):
    return 71

@priced.register
def _(points: int):
    return 72

class Scale:
    @singledispatchmethod
    def weigh(self, points):
        return 81

    @weigh.register
    def _(self, points: int):
        return 82

RATES = Rates(vat=Decimal("0.19"))
SPACE = SimpleNamespace(limit=10)
STEPS = deque([1, 2], maxlen=7)
RAW = bytearray(b"raw")
TEXT = Template("$a points")
KEY = attrgetter("real")
CONTEXT = Context(prec=5)
OTHERS = defaultdict(lambda: 11)
BONUS = Percent("12")
PRICES = Prices(a=31)
FEES = Fees([41])
SEASON = Season(days=90)
FIGURE = Figure(91)
METER = Meter(101)
LOCK = Lock()
LOG = logging.getLogger("shop")
ADAPTER = TypeAdapter(list[Annotated[Note, Field(description="a note")]])

def all_of(points):
    with LOCK:
        assert ADAPTER.validate_python([{"text": "a"}])
        LOG.debug("all of them")
        METER.count += 1
        CONTEXT.divide(1, 3)
        assert TEXT.substitute(a=STEPS[0]) and FIGURE.value and SEASON.weeks and Note(text="a")
        assert RAW[0] and SPACE.limit and FEES[0]
        return (
            points * RATES.vat + KEY(points) + OTHERS.copy()["a"] + BONUS.of(points) + PRICES["b"]
            + priced(points) + Scale().weigh(points)
        )
""",
    "shop.cards": '''
from functools import cached_property, wraps
import library
from contracts.events import Earned, Level, Spent
from eventkit import apply
from shop import constants, rules
from shop.rules import helper
from tools.base import Auditable

def twice(method):
    @wraps(method)
    def run(self, event):
        method(self, event)
        return 2
    return run

class Card(Auditable, category="card"):
    """A card."""

    points: int = 0
    tags: list = ["new"]
    WEIGHTS = {"a": 1}

    @apply
    def _earned(self, event: Earned) -> None:
        # a comment
        self.points += helper(event.total()) + rules.cached(1) + rules.double(1)
        self.points += rules.TABLE["gold"](1) + self.WEIGHTS["a"] + self.weight + self.rank
        self.count()
        constants.all_of(self.points)
        if event.level is Level.HIGH and rules.PATTERN and rules.RATE and rules.NAMES:
            self.points += len(rules.LIMITS) + rules.TERMS.late()

    @twice
    @apply
    def _spent(self, event: Spent) -> None:
        try:
            self.points -= library.foreign(event.points)
        except ValueError:
            self.points = 0

    @property
    def weight(self):
        return 1

    @cached_property
    def rank(self):
        return self.grade(1)

    @staticmethod
    def grade(points):
        return points
''',
}

SAME = {
    # Events are not validated again when they are read.
    "a check of a value": (
        "def checked(points):\n    return points",
        "def checked(points): ...",
    ),
    "a comment": ("# a comment", "# another one"),
    "a docstring of the class": ('"""A card."""', '"""Something else."""'),
    "a docstring of a function": ('"""What it does."""', '"""What it is for."""'),
    "empty lines": ("    @property\n", "\n\n    @property\n"),
    "a function nobody calls": (
        "def unused(points):\n    return points",
        "def unused(points): ...",
    ),
    "code of other packages": (
        "def foreign(points):\n    return points",
        "def foreign(points): ...",
    ),
    "what a client of another package counts": ("Meter(101)", "Meter(102)"),
}

DIFFERENT = {
    "the apply method": ("self.points += helper", "self.points -= helper"),
    "what a method applies": ("_spent(self, event: Spent)", "_spent(self, event: Mixed)"),
    "a helper": ("return inner(points)", "return inner(points) + 1"),
    "a function inside a helper": ("return value * FACTOR", "return value + FACTOR"),
    "a number": ("FACTOR = 2", "FACTOR = 3"),
    "a decimal": ('Decimal("1.5")', 'Decimal("1.50")'),
    "a set": ('"bronze"', '"copper"'),
    "a table of limits": ("[3, 4]", "[3, 5]"),
    "a pattern": ("a+", "a*"),
    "an object of one's own": ("Terms(days=14)", "Terms(days=30)"),
    "a method of such an object": ("self.days > 30", "self.days >= 30"),
    "a cached helper": ("return points + 1", "return points + 2"),
    "a partial helper's function": ("return points * by", "return points + by"),
    "a partial helper's argument": ("by=2", "by=4"),
    "a function in a table": ("return points * 3", "return points * 4"),
    "a function in a list in a table": ("return points * 2", "return points * 5"),
    "a table of the class": ('{"a": 1}', '{"a": 2}'),
    "a property": ("        return 1\n", "        return 2\n"),
    "a cached property": ("self.grade(1)", "self.grade(2)"),
    "a static method": (
        "    def grade(points):\n        return points",
        "    def grade(points): ...",
    ),
    "a decorator": ("        return 2\n", "        self.points = 9\n"),
    "where an error is caught": (
        "        try:\n            self.points -= library.foreign(event.points)\n",
        "        self.points -= library.foreign(event.points)\n        try:\n            pass\n",
    ),
    "a base class in another package": ("self.changes += 1", "self.changes += 2"),
    "a default of the base's state": ("changes: int = 0", "changes: int = 1"),
    "a default of the state": ('["new"]', '["old"]'),
    "a method of an event": ("self.points + self.bonus", "self.points * self.bonus"),
    "a default of an event": ("bonus: int = 1", "bonus: int = 2"),
    "a default factory of an event": ('return ["start"]', 'return ["other"]'),
    "a validator of an event": ("return abs(value)", "return value"),
    "an enum": ("HIGH = 2", "HIGH = 3"),
    "a type of an event's field": ("bonus: int = 1", "bonus: float = 1"),
    "a constant with slots": ('Decimal("0.19")', 'Decimal("0.21")'),
    "a namespace": ("limit=10", "limit=20"),
    "a deque": ("deque([1, 2]", "deque([1, 3]"),
    "the length of a deque": ("maxlen=7", "maxlen=8"),
    "a bytearray": ('b"raw"', 'b"row"'),
    "a template": ("$a points", "$a credits"),
    "a getter": ('attrgetter("real")', 'attrgetter("imag")'),
    "a context of decimals": ("prec=5", "prec=6"),
    "what a table has by default": ("lambda: 11", "lambda: 12"),
    "a method of a number of one's own": ("points * self / 100", "points * self / 1000"),
    "a number of one's own": ('Percent("12")', 'Percent("13")'),
    "a method of a table of one's own": ("return 21", "return 22"),
    "a table of one's own": ("Prices(a=31)", "Prices(a=32)"),
    "a deque of one's own": ("Fees([41])", "Fees([42])"),
    "an object that keeps results": ("days=90", "days=91"),
    "a value of another package": ("Figure(91)", "Figure(92)"),
    "a validator of a model": ("text[:9]", "text[:8]"),
    "a constraint of a model": ("strip_whitespace=True", "strip_whitespace=False"),
    "a constraint within a field of a model": ("to_upper=True", "to_upper=False"),
    "a constraint on the items of a field": ("max_length=111", "max_length=112"),
    "a constraint on a list of a model": ("max_length=121", "max_length=122"),
    "a pattern of a model": ("^x?$", "^y?$"),
    "the type of an adapter": ("TypeAdapter(list[", "TypeAdapter(set["),
    "what a named type is": ('NewType("Text", str)', 'NewType("Text", bytes)'),
    "a private attribute of a model": ("PrivateAttr(61)", "PrivateAttr(62)"),
    "a function of several kinds": ("return 71", "return 70"),
    "a kind of such a function": ("return 72", "return 73"),
    "a method of several kinds": ("return 81", "return 80"),
    "a kind of such a method": ("return 82", "return 83"),
    "the version given by hand": (
        "    points: int = 0\n",
        "    snapshot_version = 2\n    points: int = 0\n",
    ),
}


def load(monkeypatch: pytest.MonkeyPatch, before: str = "", after: str = "") -> Any:
    """Return the module of the cards, after a change in one of the sources."""
    if before:
        assert sum(before in source for source in SOURCES.values()) == 1
    for name in ("contracts", "tools", "shop"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, source in SOURCES.items():
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        package, _, part = name.partition(".")
        if part:
            setattr(sys.modules[package], part, module)
        text = source.replace(before, after) if before else source
        exec(compile(text, f"{name}.py", "exec", dont_inherit=True), vars(module))  # noqa: S102 - our own text
    return sys.modules["shop.cards"]


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the fingerprint of the code as it was."""
    return fold_fingerprint(load(monkeypatch).Card)


@pytest.mark.parametrize("change", SAME)
def test_what_does_not_change_the_fold_does_not_count(
    monkeypatch: pytest.MonkeyPatch, before: str, change: str
) -> None:
    assert fold_fingerprint(load(monkeypatch, *SAME[change]).Card) == before


@pytest.mark.parametrize("change", DIFFERENT)
def test_what_may_change_the_fold_counts(
    monkeypatch: pytest.MonkeyPatch, before: str, change: str
) -> None:
    if change == "what a method applies":
        old, new = "import Earned, Level, Spent", "import Earned, Level, Mixed, Spent"
        monkeypatch.setitem(SOURCES, "shop.cards", SOURCES["shop.cards"].replace(old, new))
    assert fold_fingerprint(load(monkeypatch, *DIFFERENT[change]).Card) != before


def test_a_fingerprint_is_16_hex_digits(before: str) -> None:
    assert (len(before), int(before, 16) >= 0) == (16, True)


def test_code_that_has_run_has_the_same_fingerprint(
    monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """The interpreter rewrites code that runs often, and caches fill."""
    cards = load(monkeypatch)
    earned = sys.modules["contracts.events"].Earned

    class Special(earned):  # type: ignore[misc,valid-type]
        pass

    for _ in range(200):
        cards.Card.replay_from([earned(points=1), Special(points=2)])
    assert fold_fingerprint(cards.Card) == before


def test_a_subclass_has_a_fingerprint_of_its_own(
    monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    class Gold(load(monkeypatch).Card):  # type: ignore[misc]
        def grade(self, points: int) -> int:
            return points

    assert fold_fingerprint(Gold) != before


IN_A_PROCESS = """
import pytest
from eventkit.fold_fingerprint import fold_fingerprint
from projections.permits import Permit
from tests.unit.test_fold_fingerprint import load
print(fold_fingerprint(load(pytest.MonkeyPatch()).Card), fold_fingerprint(Permit))
"""


def test_every_process_finds_the_same_fingerprint() -> None:
    """Neither the order of sets nor the addresses of objects show in it."""
    found = [
        subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]


def test_an_aggregate_inside_a_function_may_use_names_that_are_not_bound_yet() -> None:
    namespace: dict[str, Any] = {"__name__": "shop.late"}
    source = """
from eventkit import Aggregate, Event, apply

def make(fingerprint):
    class Opened(Event):
        pass

    class Door(Aggregate):
        @apply
        def _opened(self, event: Opened) -> None:
            later()

    found = fingerprint(Door)

    def later():
        pass

    return found
"""
    exec(compile(source, "late.py", "exec", dont_inherit=True), namespace)  # noqa: S102 - our own text
    assert namespace["make"](fold_fingerprint) == namespace["make"](fold_fingerprint)
