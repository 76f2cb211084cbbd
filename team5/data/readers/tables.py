"""Parquet and CSV tables with the MassSpecGym column names."""

from team5.errors import DataError


def iter_csv(path, skipped, on_progress=None):
    raise DataError("not yet")


iter_parquet = iter_csv


def reader_by_content(text):
    return None
