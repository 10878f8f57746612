"""Who rebuilds read models and switches their versions while everything else goes wrong."""

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, sleep

from eventkit.errors import EventkitError
from tests.torture.app_names import NAME, VERSION
from tests.torture.history import Log
from tests.torture.nemesis import Nemesis, Say
from tests.torture.processes import tied
from tests.torture.workers import Crew

OPERATOR = "operator"
_LONGEST = 40.0
_TRIES = 4


class Operator(Nemesis):
    """Rebuilds in place and beside, switches, rolls back, drops, by the command line.

    Each command may be killed on its way, and is called again then, as one would.

    Args:
        seed: of the run.
        say: tells what happens.
        quiet: seconds between two acts, on average.
        crews: of the databases.
    """

    def __init__(self, seed: int, say: Say, quiet: float, crews: Sequence[Crew]) -> None:
        super().__init__(f"{seed} operator", say, quiet)
        self._crews = crews
        setting = crews[0].setting
        self._log = Log(setting.folder / f"{OPERATOR}.jsonl", OPERATOR)
        self._output = setting.folder / f"{OPERATOR}.log"
        self._running: subprocess.Popen[bytes] | None = None

    def _strike(self) -> None:
        crew = self._choose.choice(self._crews)
        act = self._choose.choices([self._in_place, self._beside], [1, 2])[0]
        act(crew)

    def _in_place(self, crew: Crew) -> None:
        self._until_done(crew, crew.version, "rebuild")

    def _beside(self, crew: Crew) -> None:
        """A new version, from its build to the end of the old one."""
        with suppress(EventkitError):  # a command that gave up may have had its effect
            crew.settle()
        old, new = crew.version, crew.left_over() or crew.newest + 1
        crew.newest = max(crew.newest, new)
        if not self._until_done(crew, new, "rebuild", "--beside"):
            return
        before = self._choose.random() < 0.5  # its workers go on with the build beside until then
        if before:
            self._deploy(crew, new)
        if not self._until_done(crew, new, "switch"):
            return
        if not before:
            self._deploy(crew, new)
        if self._choose.random() < 0.3 and self._until_done(crew, new, "rollback"):
            self._stop.wait(self._choose.uniform(0, 2))
            if not self._until_done(crew, new, "rollback"):
                return
        self._until_done(crew, new, "drop", "--version", str(old))

    def _deploy(self, crew: Crew, version: int) -> None:
        drains = self._choose.random() < 0.6
        self._say(f"workers of {crew.name} {'change to' if drains else 'die for'} v{version}")
        crew.deploy(version, drains=drains)

    def _until_done(self, crew: Crew, version: int, *arguments: str) -> bool:
        """Call a command until it succeeds; returns whether it did."""
        for _ in range(_TRIES):
            if self._stop.is_set():
                return False
            if self._command(crew, version, *arguments) == 0:
                return True
            self._stop.wait(1)
        return False

    def _command(self, crew: Crew, version: int, what: str, *more: str) -> int:
        """Call a command once; returns its exit code."""
        seconds = self._choose.uniform(0.5, 4) if self._choose.random() < 0.3 else _LONGEST
        began = monotonic()
        command = ["tests.torture.command", "projection", what, crew.name, *more]
        self._running = tied(command, self._environment(crew, version), self._output)
        code = self._wait(seconds)
        kind = f"{what} {more[0]}" if more else what
        self._log.say(
            "operation", what=kind, projection=crew.name, version=version, began=began, code=code
        )
        self._say(f"{kind} of {crew.name} v{version}: exit code {code}")
        return code

    def _wait(self, seconds: float) -> int:
        running = self._running
        assert running is not None
        until = monotonic() + seconds
        while running.poll() is None:
            if monotonic() > until or self._stop.is_set():
                running.kill()
            sleep(0.05)
        return running.wait()

    def _environment(self, crew: Crew, version: int) -> dict[str, str]:
        setting = crew.setting
        return {
            **setting.environment,
            NAME: crew.name,
            VERSION: str(version),
            "EVENTKIT_APP": "tests.torture.app",
            "EVENTKIT_STORE": f"{setting.url}&index={setting.index('shared')}",
            "EVENTKIT_READ_MODELS": crew.url,
        }

    def _heal(self) -> None:
        for crew in self._crews:
            crew.settle()
