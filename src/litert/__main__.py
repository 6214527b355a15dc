"""``python -m litert`` is the command ``litert-native``."""

from __future__ import annotations

import sys

from litert.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
