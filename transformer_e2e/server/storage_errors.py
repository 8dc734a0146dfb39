"""Telling a full or failing disk, which a person can heal, from a bug."""

from __future__ import annotations

import errno
import logging
import sqlite3

_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS}
_SQLITE_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY}
log = logging.getLogger(__name__)


def is_out_of_space(error: BaseException) -> bool:
    """Whether `error` says that nothing can be written now. Such requests are answered 503: the wandb client
    keeps what it has and tries again for hours, so nothing is lost once there is room."""
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_CODES
    return isinstance(error, OSError) and error.errno in _ERRNOS


def report(error: BaseException) -> str:
    """Say on the server's console what to do; returns the text for the client."""
    message = f"the server cannot write to its disk ({error}); free some space, clients will try again"
    log.error(message)
    return message
