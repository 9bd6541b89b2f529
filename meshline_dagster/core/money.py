"""Money: a Decimal that knows its currency.

Minor units come from ISO 4217; a currency that is not listed has two.
"""

from decimal import ROUND_HALF_EVEN, Decimal

__all__ = ["exponent", "is_currency", "quantize", "to_text"]

_CURRENCY_LENGTH = 3
_ZERO = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
_THREE = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def is_currency(code: str) -> bool:
    """Tell whether ``code`` has the shape of an ISO 4217 code: three capital ASCII letters."""
    return len(code) == _CURRENCY_LENGTH and code.isascii() and code.isalpha() and code.isupper()


def exponent(currency: str) -> int:
    """Digits after the decimal point in ``currency``."""
    if currency in _ZERO:
        return 0
    return 3 if currency in _THREE else 2


def quantize(amount: Decimal, currency: str) -> Decimal:
    """Round ``amount`` half-even to the minor unit of ``currency``."""
    return amount.quantize(Decimal(1).scaleb(-exponent(currency)), rounding=ROUND_HALF_EVEN)


def to_text(amount: Decimal) -> str:
    """Plain decimal text without exponent or trailing zeros, the form that enters hashes and payloads."""
    text = format(amount.normalize(), "f")
    return "0" if text in {"-0", "0"} else text
