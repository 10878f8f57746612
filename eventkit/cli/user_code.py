"""Failures in the user's own code: shown with the user's lines and no others."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_LIBRARIES = (
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
    Path(__file__).parents[1],
)


def told_by_user_code(error: BaseException) -> list[str]:
    """The lines of the user's files that an error came through, and the error; for a message."""
    if isinstance(error, SyntaxError):
        said: object = error.msg
        places = [(error.filename or "", error.lineno, (error.text or "").strip())]
    else:
        said = error
        places = [(frame.filename, frame.lineno, frame.line or "") for frame in user_frames(error)]
    lines = [f"  {_short(filename)}:{number}: {line}" for filename, number, line in places]
    return [*lines, f"  {type(error).__name__}: {said}".removesuffix(": ")]


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Where an error came through files outside Python, its libraries and eventkit."""
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and not any(Path(frame.filename).is_relative_to(library) for library in _LIBRARIES)
    ]


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
