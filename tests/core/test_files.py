"""Private files and directories whatever the umask, and reads within bounds."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.files import (
    PrivateLog,
    file_name,
    make_private,
    open_private,
    open_to_others,
    private_directory,
    read_regular,
    read_start,
    write_private,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_whatever_the_umask_only_the_owner_can_read(umask: int, tmp_path: Path) -> None:
    folder = private_directory(tmp_path / "a" / "b" / "c")
    assert {mode(one) for one in (folder, folder.parent, folder.parent.parent)} == {0o700}
    write_private(folder / "d" / "text", "schlüssel")
    with open_private(folder / "bytes", "ab") as file:
        file.write(b"x")
    make_private(folder / "empty")
    log = PrivateLog(folder / "log", maxBytes=200, backupCount=2)
    logger = logging.Logger("rotated")
    logger.addHandler(log)
    for number in range(90):
        logger.warning("line %d", number)
    log.close()
    files = [one for one in folder.rglob("*") if one.is_file()]
    assert len(files) == 6 and {mode(one) for one in files} == {0o600}
    assert mode(folder / "d") == 0o700


def test_what_exists_is_taken_from_others_and_a_directory_is_left(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / name).chmod(0o644)
        assert open_to_others(tmp_path / name)
    write_private(tmp_path / "a", b"y")
    make_private(tmp_path / "b")
    with open_private(tmp_path / "c", "ab"):
        pass
    assert {mode(tmp_path / name) for name in ("a", "b", "c")} == {0o600}
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes() == b"x"
    private_directory(tmp_path)
    assert mode(tmp_path) == 0o755
    assert not open_to_others(tmp_path / "missing")


def test_a_file_in_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(OSError):
        private_directory(tmp_path / "a" / "b")


def test_a_lone_surrogate_does_not_lose_its_log_line(tmp_path: Path) -> None:
    log = PrivateLog(tmp_path / "log", encoding="utf-8")
    logger = logging.Logger("surrogates")
    logger.addHandler(log)
    logger.warning("half \ud800 a pair, and ä")
    log.close()
    assert (tmp_path / "log").read_text(encoding="utf-8") == "half \\ud800 a pair, and ä\n"


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    path = write_private(tmp_path / "x", b"12345")
    assert read_regular(path, 5) == b"12345" and read_start(path, 2) == b"12"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(path, 4)
    os.mkfifo(tmp_path / "pipe")
    done = threading.Event()

    def read() -> None:
        for bad in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
            with pytest.raises(OSError, match=r"no regular file|Is a directory"):
                read_regular(bad, 100)
            with pytest.raises(OSError, match=r"no regular file|Is a directory"):
                read_start(bad, 100)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(60), "the reader waits for a writer of the pipe"
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "missing", 1)


@given(st.text(max_size=300))
def test_a_name_of_any_text_stays_in_its_directory(text: str) -> None:
    name = file_name(text)
    assert name and "/" not in name and "\0" not in name and not name.startswith(".")
    assert len(name) <= 100 and Path("x", name).parent == Path("x")
    assert file_name("TrendCross") == "TrendCross" and file_name("../../x") == "_.._x"
