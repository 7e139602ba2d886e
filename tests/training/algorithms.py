"""Names as programs make them up: kinds of algorithms as they are known, none of a particular family's own.

`made_up(number, seed, words)` gives labels; `sounding(number, seed)` those that can be pronounced.
"""

from __future__ import annotations

import random
import string

AZ, DIGITS = string.ascii_lowercase, string.digits
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxz", "aeiouy"
SYLLABLES = [c + v for c in CONSONANTS for v in VOWELS]


def drawn(r: random.Random, letters: str, least: int, most: int) -> str:
    """Letters drawn alike from an alphabet."""
    return "".join(r.choice(letters) for _ in range(r.randint(least, most)))


def alternating(r: random.Random) -> str:
    """Consonant, vowel, consonant, vowel …"""
    own, begin = r.randint(5, 14), r.random() < 0.5
    return "".join(r.choice(CONSONANTS if (at % 2 == 0) == begin else VOWELS) for at in range(own))


def mumbled(r: random.Random) -> str:
    """Syllables of one to three letters."""
    out, own = "", r.randint(6, 14)
    while len(out) < own:
        out += r.choice(CONSONANTS)
        out += r.choice(VOWELS) if r.random() < 0.75 else ""
        out += r.choice(CONSONANTS) if r.random() < 0.25 else ""
    return out[:own]


def sung(r: random.Random) -> str:
    """Vowels first, some twice."""
    out, own = "", r.randint(7, 14)
    while len(out) < own:
        out += r.choice(VOWELS) + (r.choice(VOWELS) if r.random() < 0.2 else "")
        out += r.choice(CONSONANTS) + (r.choice(CONSONANTS) if r.random() < 0.3 else "")
    return out[:own]


def from_a_few_syllables(r: random.Random) -> str:
    pool = r.sample(SYLLABLES, 30)
    return "".join(r.choice(pool) for _ in range(r.randint(2, 4))) + r.choice("rnsmfltkzx")


def from_a_part_of_the_alphabet(r: random.Random) -> str:
    return drawn(r, AZ[: r.randint(12, 25)], 8, 20)


def from_a_few_letters(r: random.Random) -> str:
    return drawn(r, "".join(r.sample(AZ, r.randint(8, 14))), 8, 20)


def two_words(r: random.Random, words: list[str]) -> str:
    return r.choice(words) + ("-" if r.random() < 0.1 else "") + r.choice(words)


def many_words(r: random.Random, words: list[str]) -> str:
    out, least = "", r.randint(14, 30)
    while len(out) < least:
        out += r.choice(words)
    return out


def cut_words(r: random.Random, words: list[str]) -> str:
    out, least = "", r.randint(12, 24)
    while len(out) < least:
        word = r.choice(words)
        out += word[: r.randint(3, len(word))]
    return out[:24]


SOUNDING = (alternating, mumbled, sung)
PLAIN = (
    *[lambda r: drawn(r, AZ, 7, 22)] * 4,
    lambda r: drawn(r, AZ, 4, 8),
    lambda r: drawn(r, AZ, 20, 40),
    *[lambda r: drawn(r, AZ + DIGITS, 8, 32)] * 2,
    lambda r: drawn(r, "0123456789abcdef", 8, 34),
    from_a_part_of_the_alphabet,
    from_a_few_letters,
    lambda r: drawn(r, CONSONANTS, 6, 16),
    lambda r: drawn(r, AZ[::2], 10, 18),
    lambda r: drawn(r, AZ, 4, 10) + drawn(r, DIGITS, 1, 5),
    lambda r: drawn(r, AZ + DIGITS, 12, 18),
    *SOUNDING * 2,
    from_a_few_syllables,
)
WORDY = (two_words, two_words, many_words, many_words, cut_words)
SHARE_OF_WORDS = 0.10


def made_up(number: int, seed: int, words: list[str]) -> list[str]:
    """Return labels of all kinds."""
    r = random.Random(seed)
    return [
        r.choice(WORDY)(r, words) if r.random() < SHARE_OF_WORDS else r.choice(PLAIN)(r)  # type: ignore[no-untyped-call]
        for _ in range(number)
    ]


def sounding(number: int, seed: int) -> list[str]:
    """Return labels that can be pronounced and mean nothing."""
    r = random.Random(seed)
    return [SOUNDING[at % len(SOUNDING)](r) for at in range(number)]
