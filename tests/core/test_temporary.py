"""Temporary directories: those of processes that were killed are removed by the next one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from botlib.core.temporary import temporary_directory


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_stays(
    tmp_path: Path,
) -> None:
    program = (
        "import sys, os\nfrom pathlib import Path\n"
        "from botlib.core.temporary import temporary_directory\n"
        "print(temporary_directory('sweep', Path(sys.argv[1])))\nos._exit(9)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
    )
    left = Path(run.stdout.strip())
    assert run.returncode == 9 and left.is_dir()
    (left / "candles").write_text("1")
    other = tmp_path / "botlib-of-someone-else"
    other.mkdir()
    mine = temporary_directory("drill", tmp_path)
    assert mine.name.startswith(f"botlib-drill-{os.getpid()}-")
    assert not left.exists() and other.is_dir()
    again = temporary_directory("drill", tmp_path)
    assert again.is_dir() and mine.is_dir()
