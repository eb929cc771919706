"""How fast a number of bytes grows, by what was seen of it lately (pure)."""

import attrs

SPAN_S = 10.0
_LEAST_APART_S = 0.5


@attrs.frozen
class Pace:
    """Sightings of the last ``SPAN_S`` seconds: (when, how many bytes), oldest first."""

    seen: tuple[tuple[float, int], ...] = ()

    def saw(self, at: float, count_bytes: int) -> "Pace":
        """With one more. What falls back began anew, and so does its pace."""
        seen = self.seen
        if seen and (count_bytes < seen[-1][1] or at < seen[-1][0]):
            seen = ()
        if len(seen) > 1 and at - seen[-2][0] < _LEAST_APART_S:
            seen = seen[:-1]
        recent = tuple(each for each in seen[:-1] if at - each[0] <= SPAN_S)
        return Pace((*recent, *seen[-1:], (at, count_bytes)))

    @property
    def bytes_s(self) -> float | None:
        """Bytes each second; None if it is not known yet."""
        if len(self.seen) < 2:
            return None
        (began, first), (at, last) = self.seen[0], self.seen[-1]
        return (last - first) / (at - began) if at > began else None

    def left_s(self, total_bytes: int) -> float | None:
        """How long the rest takes at this pace; None if that is not known."""
        pace = self.bytes_s
        if not pace:
            return None
        return max(0, total_bytes - self.seen[-1][1]) / pace
