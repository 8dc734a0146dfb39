"""Corpora from text files on this machine: one UTF-8 file, or a folder of .txt files."""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path

from transformer_e2e.data.snapshots import file_digest
from transformer_e2e.data.splitting import split, unique
from transformer_e2e.errors import DataError


def text_files(path: Path) -> list[Path]:
    """The file itself, or the .txt files below a folder, by name. Raises DataError if there is none."""
    if path.is_file():
        return [path]
    found = files_below(path, "*.txt")
    if not found:
        inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise DataError(
            f"--dataset={path} is a folder without .txt files (it holds {inside}) and was not written by "
            "datasets' save_to_disk; a text file, a folder of .txt files or such a folder works"
        )
    return found


def files_below(folder: Path, pattern: str) -> list[Path]:
    """The files anywhere below `folder` whose names match, sorted by path."""
    return sorted((file for file in folder.rglob(pattern) if file.is_file()), key=Path.as_posix)


def files_digest(root: Path, files: list[Path]) -> str:
    """SHA-256 over the names below `root` and the contents of `files`."""
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(root).as_posix() if root.is_dir() else ""
        digest.update(f"{name}\0{file_digest(path)}\0".encode())
    return digest.hexdigest()


def read_split(path: Path, validation_fraction: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(train, validation): each file is a document; the end of a single one is held out."""
    return split(unique(read_text(file) for file in text_files(path)), validation_fraction)


def read_text(path: Path) -> str:
    """The file's UTF-8 text, its line ends as they are. Raises DataError for another encoding."""
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(
            f"{path} is UTF-16 text; convert it: iconv -f utf-16 -t utf-8 {path.name} > utf8{path.suffix}"
        )
    try:
        return content.decode("utf-8-sig")  # bytes: no newline translation; -sig: no byte order mark
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}: {error.object[error.start]:#04x}); "
            f"if it is Latin-1 text, convert it: iconv -f latin1 -t utf-8 {path.name} > utf8{path.suffix}"
        ) from error
