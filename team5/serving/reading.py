"""Uploaded files, read as files of one's own are, once it is sure that they unfold to nothing."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from team5.errors import DataError, Team5Error
from team5.search.reading import numbered_records, read_candidates
from team5.serving.messages import Contents, Upload

_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"PAR1")
_XML_ENCODING = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"']([^\"']+)", re.IGNORECASE)
_XML_ENCODINGS = {b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1", b"windows-1252"}


def read_uploads(spectra: Upload, candidates: Upload | None) -> Contents:
    """Read a file of spectra and, if there is one, a file of candidates.

    Raises
    ------
    DataError
        If one of them cannot be read, or nothing in it can be used.
    """
    left_out: list[str] = []
    with tempfile.TemporaryDirectory(prefix="team5-") as folder:

        def bare(text: str) -> str:
            return text.replace(f"{folder}/spectra/", "").replace(f"{folder}/candidates/", "")

        def report(text: str) -> None:
            left_out.append(bare(text))

        try:
            structures = None
            if candidates is not None:
                path = _write(candidates, Path(folder) / "candidates", "candidates.smi")
                structures = read_candidates(path, report=report)
            path = _write(spectra, Path(folder) / "spectra", "spectra.txt")
            records = [(bare(where), record) for where, record in numbered_records(path, report)]
        except Team5Error as error:
            raise error.reworded(bare(str(error))) from error
    return Contents(records, structures, left_out)


def _write(upload: Upload, folder: Path, fallback: str) -> Path:
    _check_harmless(upload)
    folder.mkdir()
    # Of the name only letters count: it is never a path.
    name = re.sub(r"[^A-Za-z0-9._-]", "_", upload.name.replace("\\", "/").rpartition("/")[2])
    path = folder / (name.lstrip(".")[-80:] or fallback)
    path.write_bytes(upload.content)
    return path


def _check_harmless(upload: Upload) -> None:
    """Refuse what unfolds when it is read, or points elsewhere.

    Raises
    ------
    DataError
    """
    name, content = upload.name, upload.content
    if content.startswith(_PACKED) or content[257:262] == b"ustar":
        raise DataError(f"{name}: a packed file. Send it unpacked, as text.")
    if b"\0" in content:
        raise DataError(f"{name}: no text in UTF-8. Save it as UTF-8.")
    if not re.match(rb"(\xef\xbb\xbf)?\s*<", content):
        return
    encoding = _XML_ENCODING.search(content[:1000])
    if encoding and encoding[1].lower() not in _XML_ENCODINGS:
        raise DataError(f"{name}: XML in another encoding than UTF-8. Save it as UTF-8.")
    # Entities can unfold without bound or name files of this machine; mzML has none.
    if re.search(rb"<!(DOCTYPE|ENTITY)", content, re.IGNORECASE):
        raise DataError(f"{name}: XML with a DOCTYPE, which no mzML file has. Export it again.")
