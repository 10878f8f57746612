"""The variables that tell `app` what to define."""

NAME, VERSION = "EVENTKIT_TORTURE_PROJECTION", "EVENTKIT_TORTURE_VERSION"
