"""Names of files that are to be written. Nothing that exists is ever overwritten."""

from __future__ import annotations

import errno
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""How a disk says that it, or what may be used of it, is full."""

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


class OutputExistsError(FileExistsError):
    """A file that is to be written exists; the message says which and what to do."""


class OutputError(OSError):
    """A file that cannot be written; the message says why and what to do."""


def new_path(directory: str | Path, stem: str, suffix: str, *, reserve: bool = False) -> Path:
    """The first free name of ``stem.suffix``, ``stem_2.suffix``, ``stem_3.suffix`` ...

    Where the plain name is taken, the log says which name is used instead. With `reserve` an empty
    file is created under the name in the same step, so that no other process can get it: for files
    that grow while a run goes on. Without, the name may be taken in the meantime; the writers of
    this package then raise `OutputExistsError`.

    Raises `OutputError` where the folder is missing or not writable, or `stem` is not a file name.
    """
    directory = Path(directory)
    if stem in {"", ".", ".."} or any(sign in stem for sign in "/\\\0"):
        raise OutputError(
            f"{stem!r} cannot be the name of a file; give one without slashes, such as 'scan_12'"
        )
    suffix = suffix if suffix.startswith(".") or not suffix else f".{suffix}"
    _check_folder(directory)
    number = 1
    while True:
        path = directory / (f"{stem}_{number}{suffix}" if number > 1 else f"{stem}{suffix}")
        if not os.path.lexists(path) and (not reserve or _create(path)):
            break
        number += 1
    if number > 1:
        logger.warning("%s exists already and is kept; writing %s instead", f"{stem}{suffix}", path)
    return path


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary file beside `path`; on leaving, make it appear as `path`, complete.

    The content is on the disk before the name appears, and a name that exists is never replaced,
    not even one that another process made in the meantime. When the body raises, nothing is left;
    a full disk becomes `OutputError`. Raises it, or `OutputExistsError`, before the body is run
    where that can be known.
    """
    path = Path(path)
    check_free(path)
    # Hidden and short, so that a name near the limit of 255 bytes still works.
    part = path.parent / f".{secrets.token_hex(8)}.part"
    _create(part)
    try:
        yield part
        _sync(part)
        _publish(part, path)
    except BaseException as error:
        told: BaseException = error
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            told = OutputError(f"cannot write {path}: {error.strerror}; make room on the disk")
        told.add_note(f"nothing was written to {path}")
        if told is error:
            raise
        raise told from error
    finally:
        # a disk that has become read-only keeps it
        with suppress(OSError):
            part.unlink(missing_ok=True)
    _sync(path.parent)


def check_free(path: Path) -> None:
    """Raise `OutputExistsError` where `path` is taken, `OutputError` where it has no folder."""
    _check_folder(path.parent)
    if os.path.lexists(path):
        raise _exists(path)


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(
        f"{path} exists already, and nothing is overwritten; move it away, or choose another name "
        "(new_path finds a free one)"
    )


def _check_folder(directory: Path) -> None:
    if not directory.exists():
        raise OutputError(f"the folder {directory} does not exist; create it, or choose another")
    if not directory.is_dir():
        raise OutputError(f"{directory} is a file, but a folder is needed to write in")


def _create(path: Path) -> bool:
    """Create an empty file. False where the name is taken."""
    try:
        # Not tempfile.mkstemp: its files can be read by their owner only, whatever the umask.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    except OSError as error:
        raise OutputError(
            f"cannot create {path}: {error.strerror}; choose a folder where you may write, and a "
            "name that the disk accepts"
        ) from error
    return True


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder. The file itself must be safe.
        if not path.is_dir() or error.errno not in {errno.EINVAL, errno.EBADF, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _publish(part: Path, path: Path) -> None:
    """Give the file its name, unless the name is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # No hard links on this file system: take the name first, then put the content there.
        if not _create(path):
            raise _exists(path) from None
        part.replace(path)
