"""Files that are replaced whole."""

import os
import time
from pathlib import Path

PATIENCE = 2.0  # seconds: on Windows a scanner may hold a new file for a moment


def replace(new: Path, place: Path) -> None:
    """Move a file over another, in one step. Raises OSError if that fails, also when tried again."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return os.replace(new, place)
        except PermissionError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)
