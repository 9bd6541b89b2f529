"""Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015)."""

__all__ = ["delay"]


def delay(
    attempt: int, jitter: float, *, base: float = 0.5, cap: float = 300.0, retry_after: float | None = None
) -> float:
    """Seconds to wait before attempt ``attempt + 1``.

    Args:
        attempt: how many attempts were made, from 1.
        jitter: a random number in [0, 1), passed in so that this stays pure.
        retry_after: what the other side asked for; it is honoured as a minimum.
    """
    spread = jitter * min(cap, base * 2.0 ** min(attempt, 32))
    return spread if retry_after is None else max(retry_after, 0.0) + jitter * base
