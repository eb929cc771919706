"""A token bucket: how many bytes may move now (pure)."""

BURST_S = 0.4
"""What nobody used is kept for so long. It makes up for a reactor that is late."""


class Bucket:
    """Fills at the limit of the moment, which each call names; is empty at first.

    Over any time t, at most ``limit * (t + BURST_S)`` bytes are given out.

    Args:
        now_s: seconds of whatever clock the calls name.
    """

    def __init__(self, now_s: float) -> None:
        self._level_bytes = 0.0
        self._at_s = now_s

    def fill(self, now_s: float, limit_bytes_s: float) -> int:
        """How many whole bytes may move now. A clock that went back gives none."""
        gained = max(0.0, now_s - self._at_s) * limit_bytes_s
        self._at_s = now_s
        # At least one byte, or the smallest limits would never let any pass.
        most = max(1.0, limit_bytes_s * BURST_S)
        self._level_bytes = min(most, self._level_bytes + gained)
        return int(self._level_bytes)

    def take(self, size_bytes: int) -> None:
        """Count bytes that move, at most as many as ``fill`` said."""
        self._level_bytes -= size_bytes
