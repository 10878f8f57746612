"""The rig's classes for the command line; the environment says which projection, which version."""

import os

from tests.torture.app_names import NAME, VERSION
from tests.torture.domain import Jotted, Note
from tests.torture.read_models import projection_class

Current = projection_class(os.environ[NAME], int(os.environ[VERSION]))

__all__ = ["Current", "Jotted", "Note"]
