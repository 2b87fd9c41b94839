"""The commit that results belong to."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path


def commit() -> str:
    """Short hash of the checkout, with "+" if tracked files were changed.

    In a copy without .git: what the environment variable ALEXNET_RAW_COMMIT says, or "unknown".
    """
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        git = ["git", "-C", str(Path(__file__).parent), "describe"]
        git += ["--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    return os.environ.get("ALEXNET_RAW_COMMIT", "unknown")
