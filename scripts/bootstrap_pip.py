"""Put pip into the virtual environment that runs this, where Python came without ensurepip.

Debian's python3 is such a Python unless python3-venv is installed. Needs only the standard library;
PIP_INDEX_URL and PIP_CERT are honoured as pip honours them.
"""

import hashlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

WHEEL = "pip-25.3-py3-none-any.whl"
INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
INDEX_AS_JSON = "application/vnd.pypi.simple.v1+json"
TIMEOUT_SECONDS = 60


def fetch(url: str, accept: str = "*/*") -> bytes:
    """Return what is at `url`; raises URLError when it cannot be had."""
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 # user's own index
    with urllib.request.urlopen(  # noqa: S310 # as above
        request, context=context, timeout=TIMEOUT_SECONDS
    ) as answer:
        body: bytes = answer.read()
    return body


def fetch_wheel() -> bytes:
    """Return pip's wheel, checked against the hash that the index gives for it."""
    files = json.loads(fetch(f"{INDEX}/pip/", accept=INDEX_AS_JSON))["files"]
    file = next(file for file in files if file["filename"] == WHEEL)
    wheel = fetch(file["url"])
    if hashlib.sha256(wheel).hexdigest() != file["hashes"]["sha256"]:
        sys.exit(f"{file['url']} is not what the index says it is")
    return wheel


def main() -> None:
    """Install pip from its own wheel, which Python can run without unpacking it."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder, WHEEL)
        try:
            wheel.write_bytes(fetch_wheel())
        except OSError as error:
            sys.exit(f"{WHEEL} cannot be had from {INDEX}: {error}")
        install = [f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)]
        subprocess.run([sys.executable, *install], check=True)  # noqa: S603 # our own command


if __name__ == "__main__":
    main()
