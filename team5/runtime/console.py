"""Log messages on a terminal that also shows a progress bar."""

import logging


class ConsoleHandler(logging.StreamHandler):
    """Writes to stderr above a progress bar, rather than behind its end."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)
