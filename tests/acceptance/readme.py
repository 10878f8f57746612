"""The README as data: its blocks of code, and running them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.unit.source import ROOT

README = ROOT / "README.md"
_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "<<<end of block>>>"


class Block(NamedTuple):
    """A block of code: its language, the file it stands for, its text and its first line."""

    language: str
    file: str | None
    text: str
    line: int


def blocks() -> list[Block]:
    """All blocks, in order."""
    text = README.read_text(encoding="utf-8")
    return [
        Block(match[1], match[2], match[3], text.count("\n", 0, match.start()) + 2)
        for match in _FENCE.finditer(text)
    ]


def run_python(folder: Path) -> list[tuple[Block, str, str]]:
    """Run the Python blocks as one script; each with what it should print, and what it did.

    Every line of the script is where it is in the README, so that a traceback points at it.
    """
    script: list[str] = []
    shown: list[tuple[Block, str]] = []
    found = blocks()
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language != "python" or block.file:
            continue
        script += [""] * (block.line - 1 - len(script))
        script += [*block.text.splitlines(), f"print({_MARK!r})"]
        expected = following.text if following and following.language == "text" else ""
        shown.append((block, expected))
    path = folder / "readme_blocks.py"
    path.write_text("\n".join(script), encoding="utf-8")
    outputs = _run([sys.executable, path.name], folder).split(f"{_MARK}\n")
    return [(block, text, output) for (block, text), output in zip(shown, outputs, strict=False)]


def run_console(folder: Path) -> list[tuple[str, str, str]]:
    """Run the lines that begin with `$` in one shell; each with its expected and real output."""
    shown: list[tuple[str, str]] = []
    for block in blocks():
        if block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, expected = part.partition("\n")
                shown.append((command, expected))
    script = "".join(f"{command}\nlast=$?; echo '{_MARK}'; (exit $last)\n" for command, _ in shown)
    outputs = _run(["bash", "-c", f"exec 2>&1\n{script}"], folder).split(f"{_MARK}\n")
    return [(*pair, output) for pair, output in zip(shown, outputs, strict=False)]


def matches(expected: str, output: str) -> bool:
    """Whether the output is as expected, where a line `...` stands for any lines."""
    lines = [".*" if line == "..." else re.escape(line) for line in expected.splitlines()]
    return re.fullmatch("\n".join(lines), output.rstrip("\n"), re.DOTALL) is not None


def _run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=None,
        text=True,
        check=False,
    )
    return done.stdout
