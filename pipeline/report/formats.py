"""How numbers are written, in the report and by commands."""


def percent(share: float) -> str:
    """Return a share as text, which says 0 or 100% only where it is that exactly."""
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    return f"{share:.1%}"
