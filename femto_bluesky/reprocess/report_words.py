"""Numbers and times as the report shows them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

NOTHING = "\N{EN DASH}"
"""Stands where there is no value."""


def with_error(mean: float | None, error: float | None) -> str:
    """A mean with its error, which has two digits.

    >>> with_error(1.23456, 0.0123), with_error(1234.5, 67.8), with_error(2.0, None)
    ('1.235 ± 0.012', '1234 ± 68', '2')
    """
    if mean is None or math.isnan(mean):
        return NOTHING
    if not error or not math.isfinite(error):
        return f"{mean:.6g}"
    digits = 1 - math.floor(math.log10(error))
    if digits > 8 or digits < -4:
        return f"{mean:.6g} ± {error:.2g}"
    return f"{mean:.{max(digits, 0)}f} ± {error:.{max(digits, 0)}f}"


def two_digits(value: float) -> str:
    """A spread, without an exponent where that is needless.

    >>> two_digits(316.2), two_digits(0.01234)
    ('320', '0.012')
    """
    return f"{float(f'{value:.2g}'):g}"


def value_text(value: float | str | None) -> str:
    """What a group is of, as a table shows it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    return value if isinstance(value, str) else f"{value:.10g}"


def key_text(key: str) -> str:
    """What was grouped by, as a title has it."""
    return ", ".join(part.strip().removeprefix("start.") for part in key.split(","))


def counted(number: int, thing: str) -> str:
    """How many of something.

    >>> counted(1, "run"), counted(2, "run")
    ('1 run', '2 runs')
    """
    return f"{number:,} {thing}{'s' * (number != 1)}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def moment(seconds: float) -> str:
    """A time since 1970 as a date in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """A time span."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
