"""Everything that can go wrong, in one list.

Each class says by ``exit_code`` whether the call was wrong (2) or the run failed (1), and also
is the builtin exception that fits, so that callers who do not know team5 can catch it.
"""


class Team5Error(Exception):
    """Base of all errors team5 raises on purpose; its text is complete, no traceback needed.

    Attributes
    ----------
    code : str
        What went wrong as a fixed word for programs, ``no_peaks``; empty where none is given.
    argument : str
        The argument or field at fault; empty where none is.
    """

    exit_code = 1

    def __init__(self, *args: object, code: str = "", argument: str = "") -> None:
        super().__init__(*args)
        self.code = code
        self.argument = argument


class MoleculeError(Team5Error, ValueError):
    """A SMILES cannot be parsed or is beyond what the model takes; names the position."""

    exit_code = 2


class AdductError(Team5Error, ValueError):
    """An adduct is not written as ``[M+H]+`` or does not fit the structure."""

    exit_code = 2


class SpectrumError(Team5Error, ValueError):
    """Peaks or their context are malformed: lengths differ, negative, NaN, empty, too many."""

    exit_code = 2


class DataError(Team5Error, ValueError):
    """A file or table of spectra, folds or candidates cannot be used as it is."""

    exit_code = 2


class DataFileNotFoundError(DataError, FileNotFoundError):
    """An input file or folder does not exist."""


class ConfigError(Team5Error, ValueError):
    """An argument or a combination of arguments is wrong."""

    exit_code = 2


class DeviceError(Team5Error, ValueError):
    """The device asked for is not on this machine."""

    exit_code = 2


class VersionError(Team5Error, ValueError):
    """A version is not written ``v<major>.<minor>`` or already exists."""

    exit_code = 2


class VersionNotFoundError(VersionError, FileNotFoundError):
    """No such version in this registry; names those there are, closest first."""


class CheckpointError(Team5Error, ValueError):
    """A version's file is damaged or does not fit; names file, expected and found."""


class CheckpointFileNotFoundError(CheckpointError, FileNotFoundError):
    """A version's folder lacks a file it must have."""


class TrackerError(Team5Error, ValueError):
    """``checkpoint_tracker.json`` is not valid; it is left untouched."""


class StorageError(Team5Error, OSError):
    """A folder cannot be written or the disk is full; what was there before is untouched."""


class DownloadError(Team5Error, OSError):
    """A download failed or its checksum is wrong."""


class ProcessError(Team5Error, RuntimeError):
    """Another process of a distributed training has ended or does not answer."""


class MissingExtraError(Team5Error, ImportError):
    """An optional package is not installed; names the extra that brings it."""

    exit_code = 2


class BusyError(Team5Error):
    """A server has as much work as it takes; ask again later."""


class LateError(BusyError):
    """A request, or the answer to it, took longer than a server allows."""


class CrowdedError(BusyError):
    """A server has as many connections as it takes; connect again later."""


class WorkerError(Team5Error):
    """The process that computes has ended or failed; ask again, once it is back."""


class TooLargeError(Team5Error, ValueError):
    """A request is larger than the server takes."""

    exit_code = 2


class UnauthorizedError(Team5Error, PermissionError):
    """A request carries no token, or another than the server's."""

    exit_code = 2
