"""Record a stage's numbers anew, once its RECIPE is bumped: `renew.py saes`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    tests = Path(__file__).parents[2]
    root = tests.parent
    sys.path[:0] = [str(tests), str(root), str(root / "workflow" / "lib")]
    from golden import renew

    sys.exit(renew(sys.argv[1:]))
