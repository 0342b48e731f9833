"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
EXTENDING = ROOT / "examples" / "extending"
GOLDEN = ROOT / "tests" / "golden"
"""Numbers from elsewhere, and of versions before."""
SHARED = ROOT.parent / "shared"
"""Pictures and files that are not part of the repository; tests that need them are skipped where they are absent."""
