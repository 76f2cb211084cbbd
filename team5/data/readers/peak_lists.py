"""MGF, MSP and mzML through matchms."""

from team5.errors import DataError


def iter_mgf(path, skipped, on_progress=None):
    raise DataError("not yet")


iter_msp = iter_mzml = iter_mgf


def reader_by_content(text):
    return None
