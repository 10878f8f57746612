"""`python -m eventkit`: the `eventkit` command."""

from eventkit.cli import main

if __name__ == "__main__":
    main()
