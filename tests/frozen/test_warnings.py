"""A program that turns warnings into errors can import the library, whatever torch says while its own parts are loaded."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, warnings

class Deprecated:
    "torch 2.11 warns while it loads this part of itself."
    def find_spec(self, name, path=None, target=None):
        if name == "torch.utils.mkldnn":
            warnings.warn("`torch.jit.script_method` is deprecated.", DeprecationWarning)

sys.meta_path.insert(0, Deprecated())
import zoo_core.frozen.split
assert "torch.utils.mkldnn" in sys.modules
"""


def test_the_library_is_imported_where_warnings_are_errors() -> None:
    """Seen to fail: with torch 2.11, the oldest that zoo takes."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
