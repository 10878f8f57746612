"""`eventkit` with the rig's failpoints and planted bugs in it."""

import sys

from eventkit.cli.main import main
from tests.torture import bugs, failpoints

if __name__ == "__main__":
    bugs.plant()
    failpoints.arm(" ".join(sys.argv[1:]))
    main()
