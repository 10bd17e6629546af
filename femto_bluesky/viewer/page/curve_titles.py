"""What curves in one figure are called: what their titles share, and what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence


def told_apart(titles: Sequence[str]) -> tuple[str, list[str]]:
    """What titles have in common, and what each says beside it.

    >>> told_apart(["ROI 2 on pilatus, mean of each step", "ROI 3 on pilatus, mean of each step"])
    ('Mean of each step on pilatus', ['ROI 2', 'ROI 3'])
    >>> told_apart(["I(q) on pilatus, 4 frames of the run", "I(q) on pilatus, 9 of the sum"])
    ('I(q) on pilatus', ['4 frames of the run', '9 of the sum'])
    """
    if len(set(titles)) < 2:
        return next(iter(titles), ""), [""] * len(titles)
    heads, tails = zip(*((t.partition(", ")[0], t.partition(", ")[2]) for t in titles), strict=True)
    if len(set(heads)) == 1:
        return heads[0], list(tails)
    if len(set(tails)) > 1:
        return "", list(titles)
    words = [head.split() for head in heads]
    n = min(map(len, words)) - 1
    end = next((i for i in range(n) if len({tuple(w[-i - 1 :]) for w in words}) > 1), n)
    begin = next((i for i in range(n - end) if len({w[i] for w in words}) > 1), n - end)
    # a word alone, as of "ROI 2" and "ROI 3", belongs to the name
    begin = begin if begin > 1 else 0
    labels = [" ".join(w[begin : len(w) - end]) for w in words]
    prefix = " ".join(words[0][:begin]).removesuffix(" on")
    suffix = " ".join(words[0][len(words[0]) - end :])
    tail = tails[0]
    if prefix:
        return ", ".join(filter(None, [f"{prefix} {suffix}".strip(), tail])), labels
    return f"{tail[:1].upper()}{tail[1:]} {suffix}".strip(), labels
