"""Kafka's published jars: resolved once by Maven, then kept in the checkout."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tools.broker.errors import BrokerError

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".kafka"
POM = HERE / "pom.xml"

OLDEST_JAVA = 17  # Kafka 4 brokers refuse an older one
RESOLVE_SECONDS = 600  # 44 MB from a slow mirror

INSTALL = "apt install default-jre-headless maven"


class Jars(NamedTuple):
    """Kafka's jars and the Java that runs them, which takes loaded classes from an archive."""

    java: str
    folder: Path
    version: str
    archive: Path | None = None

    def command(self, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """Return the command that runs the class `main` with the Java `options`."""
        log = f"-Dlog4j2.configurationFile={(HERE / 'log4j2.properties').as_uri()}"
        classes = [] if self.archive is None else [f"-XX:SharedArchiveFile={self.archive}"]
        return [self.java, *options, *classes, log, "-cp", f"{self.folder}/*", main, *arguments]


def kafka_version() -> str:
    """Return the version of Kafka that the pom pins."""
    found = re.search(r"<kafka\.version>(.+?)</", POM.read_text(encoding="utf-8"))
    if found is None:
        raise BrokerError(f"{POM} has no kafka.version")
    return found[1]


def java_version(java: str) -> int | None:
    """Return the feature version of the program `java`, such as 17; None where it does not run."""
    found = re.search(r'version "(?:1\.)?(\d+)', version_text(java))
    return int(found[1]) if found else None


def version_text(java: str) -> str:
    """Return what the program `java` says of its version; nothing where it does not run."""
    return _version_text(shutil.which(java) or java)


@cache
def _version_text(java: str) -> str:
    try:
        command = [java, "-version"]
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr


def find_java() -> str | None:
    """Return a Java that is new enough, that of JAVA_HOME first; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home, "bin", "java"))] if home else []
    for java in [*candidates, "java"]:
        version = java_version(java)
        if version is not None and version >= OLDEST_JAVA:
            return java
    return None


def obstacle() -> str | None:
    """Return what keeps this machine from running the jars; None where nothing does."""
    if find_java() is None:
        return f"no Java {OLDEST_JAVA} or newer"
    if not jar_folder().exists() and shutil.which("mvn") is None:
        return "no Maven (mvn)"
    return None


def jar_folder() -> Path:
    """Return the folder of the jars that the pom asks for, whether they are there yet or not."""
    pom = hashlib.sha256(POM.read_bytes()).hexdigest()
    return CACHE / f"jars-{kafka_version()}-{pom[:12]}"


def resolve() -> Jars:
    """Return Kafka's jars, brought by Maven if they are not there yet.

    Raises:
        BrokerError: Java or Maven is missing, or Maven could not bring the jars.
    """
    java, problem = find_java(), obstacle()
    if java is None or problem:
        raise BrokerError(f"Kafka's jars cannot run here: {problem}. On Debian: {INSTALL}")
    folder = jar_folder()
    CACHE.mkdir(exist_ok=True)
    with locked(CACHE / "lock"):
        if not folder.exists():
            _bring(folder)
    return Jars(java, folder, kafka_version())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`: two runs that start at once bring the jars once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _bring(folder: Path) -> None:
    """Have Maven copy the jars; `folder` appears only when all of them are in it."""
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    log = CACHE / "maven.log"
    command = ["mvn", "-B", "-ntp", "-f", str(POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    with log.open("w") as output:
        try:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=RESOLVE_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BrokerError(f"Maven could not bring Kafka's jars ({error}); see {log}") from error
    partial.rename(folder)
