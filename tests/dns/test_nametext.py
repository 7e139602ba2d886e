"""The text of a name is the same by every way there: its parent's known text, the whole at once, label by label."""

from __future__ import annotations

import random

from dnsnb.dns import nametext
from dnsnb.dns.nametext import name_to_text, text_to_name

PLAIN, ODD = b"abcxyzABC-_09", b"ab.\x01\x05\x0c \xff\0,-9\\"
PARENTS = (b"\3com\0", b"\7eXample\3com\0", b"\0", b"\4a.b\x05\3net\0")


def label_by_label(name: bytes) -> str:
    labels, at = [], 0
    while at < len(name) and (length := name[at]):
        labels.append(name[at + 1 : at + 1 + length].lower())
        at += length + 1
    return ".".join(
        label.decode() if nametext._HOST.fullmatch(label) else nametext._label_text(label) for label in labels
    )


def some_name(rng: random.Random) -> bytes:
    labels = [
        bytes(rng.choices(ODD if rng.random() < 0.2 else PLAIN, k=rng.randint(1, rng.choice((3, 10, 50, 63)))))
        for _ in range(rng.randint(0, 3))
    ]
    return b"".join(bytes([len(label)]) + label for label in labels) + rng.choice(PARENTS)


def test_every_way_gives_the_same_text() -> None:
    rng = random.Random(1)
    for _ in range(5000):
        name = some_name(rng)
        for whole in (name, name[:-1]):  # a name that is cut off has a text too
            assert name_to_text(whole) == (label_by_label(whole) or ".")
        assert text_to_name(name_to_text(name)) == name.lower()


def test_known_parents_are_bounded() -> None:
    for number in range(nametext.MAX_PARENTS + 10):
        assert name_to_text(text_to_name(f"www.n{number}.example")) == f"www.n{number}.example"
    assert len(nametext._parents) <= nametext.MAX_PARENTS
