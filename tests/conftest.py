"""Settings that hold for every test."""

from hypothesis import settings

# No deadline: a busy machine is slow at times, and that is no failure.
settings.register_profile("eventkit", deadline=None, print_blob=True)
settings.load_profile("eventkit")
