"""Memory budget of all requests in progress: bodies, parsed data, and answers."""

from __future__ import annotations

from team5.errors import OverloadedError, TooLargeError

# The rest is for small claims, so that large requests cannot block everybody else.
_SHARE_OF_LARGE = 0.75
_LARGE_BYTES = 1_000_000


class Budget:
    """Memory that requests may claim together."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.n_used = 0


class Claim:
    """Memory of one request; released when its answer has been sent."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.n_bytes = 0

    def grow(self, n_bytes: int) -> None:
        """Claim more; raise, without any change, if the budget does not allow it now or ever."""
        budget = self._budget
        is_large = self.n_bytes + n_bytes > _LARGE_BYTES
        most = budget.n_bytes * (_SHARE_OF_LARGE if is_large else 1)
        if self.n_bytes + n_bytes > most:
            raise TooLargeError(
                "this takes more memory than there is for all requests. Send less at once."
            )
        if n_bytes > 0 and budget.n_used + n_bytes > most:
            raise OverloadedError(
                "the memory for requests is used up. Send less at once, or come back later."
            )
        self.n_bytes += n_bytes
        budget.n_used += n_bytes

    def release(self) -> None:
        """Give back everything."""
        self.grow(-self.n_bytes)
