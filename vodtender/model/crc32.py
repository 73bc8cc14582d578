"""The CRC32 of two pieces joined, from their own: parts can be read in any order."""

from __future__ import annotations

_POLYNOMIAL = 0xEDB88320


def combined(first: int, second: int, second_length: int) -> int:
    """The CRC32 of A followed by B, from those of A and of B and the length of B in bytes.

    A CRC is linear: appending zero bytes multiplies it by x^8 each, modulo the polynomial. So
    the first is multiplied by x^(8 × length), found by squaring, and the second added.
    """
    return _times(_power(8 * second_length), first) ^ second


def _power(exponent: int) -> int:
    """x^exponent modulo the polynomial; bit 31 is the coefficient of x^0."""
    result, square = 1 << 31, 1 << 30
    while exponent:
        if exponent & 1:
            result = _times(result, square)
        square = _times(square, square)
        exponent >>= 1
    return result


def _times(a: int, b: int) -> int:
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
    return product
