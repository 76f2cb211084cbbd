"""Everything that can go wrong, in one list.

``exit_code`` of a class says whether the call was wrong (2) or the run failed (1). Each class also
derives from the fitting builtin exception, so that callers who do not know team5 can catch it.
"""

from __future__ import annotations

import re
from typing import Self


class Team5Error(Exception):
    """Base of all errors team5 raises on purpose; its text is complete, no traceback needed.

    Attributes
    ----------
    code : str
        What went wrong, as a fixed word for programs: that of the class, or a more specific one
        such as ``no_peaks``.
    argument : str or None
        The argument, field or file at fault, as Python, the command line and HTTP name it:
        ``mzs``, ``smiles[2]``.
    """

    exit_code = 1
    code = "failed"
    argument: str | None = None

    def __init__(self, *args: object, code: str | None = None, argument: str | None = None) -> None:
        super().__init__(*args)
        if code is not None:
            self.code = code
        if argument is not None:
            self.argument = argument

    def reworded(self, text: str) -> Self:
        """Return the same error with another text."""
        return type(self)(text, code=self.code, argument=self.argument)

    def to_dict(self) -> dict[str, str | None]:
        """Return the error's JSON object, the same on the command line and over HTTP."""
        return {
            "type": type(self).__name__,
            "code": self.code,
            "argument": self.argument,
            "message": str(self),
        }


class MoleculeError(Team5Error, ValueError):
    """A SMILES cannot be parsed or exceeds what the model accepts; names the position."""

    exit_code = 2
    code = "structure_invalid"
    argument = "smiles"


class AdductError(Team5Error, ValueError):
    """An adduct is not written as ``[M+H]+`` or does not fit the structure."""

    exit_code = 2
    code = "adduct_invalid"
    argument = "adduct"


class SpectrumError(Team5Error, ValueError):
    """Peaks or their context are malformed: lengths differ, negative, NaN, empty, too many."""

    exit_code = 2
    code = "spectrum_invalid"


class DataError(Team5Error, ValueError):
    """A file or table of spectra, folds or candidates cannot be used."""

    exit_code = 2
    code = "data_unusable"


class DataFileNotFoundError(DataError, FileNotFoundError):
    """An input file or folder does not exist."""

    code = "file_not_found"


class ConfigError(Team5Error, ValueError):
    """An argument or a combination of arguments is wrong."""

    exit_code = 2
    code = "argument_invalid"


class DeviceError(Team5Error, ValueError):
    """The requested device is not on this machine."""

    exit_code = 2
    code = "device_absent"
    argument = "device"


class VersionError(Team5Error, ValueError):
    """A version is not written ``v<major>.<minor>`` or already exists."""

    exit_code = 2
    code = "version_invalid"
    argument = "version"


class VersionNotFoundError(VersionError, FileNotFoundError):
    """No such version in this registry; lists the existing ones, closest first."""

    code = "version_not_found"


class CheckpointError(Team5Error, ValueError):
    """A version's file is damaged or does not fit; names the file, expected and found values."""

    code = "checkpoint_damaged"


class CheckpointFileNotFoundError(CheckpointError, FileNotFoundError):
    """A version's folder lacks a file it must have."""

    code = "checkpoint_file_missing"


class TrackerError(Team5Error, ValueError):
    """``checkpoint_tracker.json`` is not valid; it is left untouched."""

    code = "tracker_invalid"


class StorageError(Team5Error, OSError):
    """A folder cannot be written or the disk is full; what was there before is untouched."""

    code = "not_writable"


class DownloadError(Team5Error, OSError):
    """A download failed or its checksum is wrong."""

    code = "download_failed"


class ProcessError(Team5Error, RuntimeError):
    """Another process of a distributed training has ended or does not answer."""

    code = "process_lost"


class MissingExtraError(Team5Error, ImportError):
    """An optional package is not installed; names the extra that installs it."""

    exit_code = 2
    code = "extra_missing"

    @classmethod
    def of(cls, what: str, extra: str) -> Self:
        """Return the error for a missing extra, with the command that installs its packages.

        Packages are named one by one: the index may have no team5, or a different one.
        """
        from importlib import metadata

        try:
            needed = [line.partition(";") for line in metadata.requires("team5") or ()]
        except metadata.PackageNotFoundError:  # run from a clone that was not installed
            needed = []
        of_extra = re.compile(f"""extra == ["']{extra}["']""")
        packages = [name.strip() for name, _, when in needed if of_extra.search(when)]
        quoted = " ".join(f'"{name}"' for name in packages)
        line = f"pip install {quoted}" if packages else f'pip install -e ".[{extra}]" in the clone'
        return cls(f"{what} needs the extra {extra}: {line}")


class BusyError(Team5Error):
    """A server is at its limit of work; retry later."""

    code = "busy"


class LateError(BusyError):
    """A request, or the answer to it, took longer than a server allows."""

    code = "timed_out"


class CrowdedError(BusyError):
    """A server is at its limit of connections; reconnect later."""

    code = "too_many_connections"


class OverloadedError(BusyError):
    """A server is at its memory limit for requests; retry later."""

    code = "out_of_memory"


class WorkerError(Team5Error):
    """The computing process has ended or failed; retry once it is back."""

    code = "worker_failed"


class TooLargeError(Team5Error, ValueError):
    """A request is larger than the server accepts."""

    exit_code = 2
    code = "request_too_large"


class UnauthorizedError(Team5Error, PermissionError):
    """A request carries no token, or a wrong one."""

    exit_code = 2
    code = "unauthorized"


class ForbiddenError(Team5Error, PermissionError):
    """A request comes from another web page, or addresses the server by an unknown name."""

    exit_code = 2
    code = "forbidden"


class RouteNotFoundError(Team5Error, LookupError):
    """A server has no such path."""

    exit_code = 2
    code = "path_not_found"


class MethodNotAllowedError(Team5Error, ValueError):
    """A path of a server takes another HTTP method."""

    exit_code = 2
    code = "method_not_allowed"


class MediaTypeError(Team5Error, ValueError):
    """The body of a request is declared to be neither JSON nor a form."""

    exit_code = 2
    code = "media_type_unsupported"
