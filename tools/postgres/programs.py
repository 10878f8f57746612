"""PostgreSQL's own programs on this machine, and the user who may run them."""

import os
import pwd
import shutil
from pathlib import Path

from tools.broker.process import User

INSTALL = "apt install postgresql"
DEBIAN = Path("/usr/lib/postgresql")


def find_programs() -> Path | None:
    """Return the folder of initdb and postgres: of the newest release that is installed, or None.

    Debian's package keeps them out of the PATH.
    """
    releases = [
        folder
        for folder in DEBIAN.glob("*/bin")
        if folder.parent.name.isdigit() and (folder / "initdb").exists()
    ]
    if releases:
        return max(releases, key=lambda folder: int(folder.parent.name))
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def user_of_server() -> User | None:
    """Return who runs the server: None for ourselves; PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(found.pw_uid, found.pw_gid)
    return User(65534, 65534)
