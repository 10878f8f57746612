"""Settings that hold for every test."""

from hypothesis import settings

# No deadline: a busy machine is slow at times, and that is no failure.
settings.register_profile("eventkit", deadline=None, print_blob=True)
settings.load_profile("eventkit")

# Here and not in their folders: only what pytest loads at its start can add command line options.
pytest_plugins = ["tests.kafka.plugin", "tests.projection.plugin"]
