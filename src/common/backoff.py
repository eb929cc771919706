"""How long to wait before trying again (pure)."""

from collections.abc import Callable

BASE_S = 0.5
CAP_S = 300.0
_MOST_DOUBLINGS = 32  # beyond any cap; keeps 2 ** n small


def backoff(
    attempt: int,
    random: Callable[[], float],
    *,
    base_s: float = BASE_S,
    cap_s: float = CAP_S,
) -> float:
    """Seconds to wait after failure number ``attempt`` (from 1): doubling, with full jitter.

    Full jitter spreads a fleet that lost its region at the same moment over the whole
    interval, instead of letting it return as one wave.

    Args:
        attempt: failures in a row so far, at least 1.
        random: gives a number in [0, 1), for example ``random.Random(seed).random``.
        base_s: upper end of the first wait.
        cap_s: upper end of every wait.
    """
    doublings = min(max(attempt, 1) - 1, _MOST_DOUBLINGS)
    return random() * min(cap_s, base_s * float(1 << doublings))
