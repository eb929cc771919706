"""Sizes as people read them (pure)."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def human_size(size_bytes: int) -> str:
    """Binary units, three digits: ``1.46 GiB``."""
    size, unit = float(size_bytes), _UNITS[0]
    for larger in _UNITS[1:]:
        if size < 1024:
            break
        size, unit = size / 1024, larger
    digits = f"{size:.0f}" if size >= 100 or unit == "B" else f"{size:.3g}"
    return f"{digits} {unit}"
