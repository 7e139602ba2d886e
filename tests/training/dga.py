"""Train the score of made-up names: `python tests/training/dga.py DATA [--out dnsnb/names/generated.npz]`.

DATA is a folder with `top-sites/alexa_100k.csv.gz` (MIT), `top-sites/opendns-top-domains.txt` (public domain), and,
only to measure with, `dga/dga_domains_sample.csv` (25 families; research use: nothing of it is trained on or shipped).
Trained are usual domains against names by tests/training/algorithms.py, whose kinds are none of those families' own.
Usual names that the sample has too are left out of the training. Needs scikit-learn.

Counts of runs are those of all usual names; for training each usual name is measured by the counts of the four fifths
that it isn't in, else the trees would learn that it has been seen. The limits are what 1 % and 0.1 % of usual names
pass by counts and trees that haven't seen them (five folds); the two lists of usual names count alike. Prints, of the
table as it is kept, ROC AUC and the true-positive rate at 1 % and 0.1 % false positives on the sample, whole and by
family, and what passes the limits.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import algorithms

from dnsnb.names import ngrams
from dnsnb.names.generated import Model, decided, label_of, read, table
from dnsnb.names.suffixes import PRIVATE, Parts, parts

FOLDS = 5
MADE_UP = 100_000
TREES = 300
HOSTED = 0.03
SUFFIXES = 600


def usual_names(folder: Path, without: set[str]) -> tuple[list[Parts], Any]:
    """Return ordinary domains, each label and suffix once, the most popular first; and their weights.

    The lists count alike: one is what people visit, the other what resolvers are asked, with the odd names of machines.
    """
    with gzip.open(folder / "top-sites" / "alexa_100k.csv.gz", "rt", encoding="utf-8") as file:
        visited = [line.strip().split(",")[1].lower() for line in file]
    asked = (folder / "top-sites" / "opendns-top-domains.txt").read_text(encoding="utf-8").split()
    found: dict[tuple[str, str], Parts] = {}
    weight: Counter[tuple[str, str]] = Counter()
    for listed in (visited, asked):
        kept: dict[tuple[str, str], Parts] = {}
        for part in parts(listed):
            label = label_of(part)
            if label and label.isascii() and label not in without:
                kept.setdefault((label, part.suffix), part)
        for key, part in kept.items():
            found.setdefault(key, part)
            weight[key] += 1 / len(kept)  # type: ignore[assignment]
    return list(found.values()), np.array([weight[key] for key in found])


def words_of(labels: list[str]) -> list[str]:
    """Return what stands inside many labels and is one itself: words, as far as programs of this kind need them."""
    whole = {label for label in labels if label.isalpha() and 4 <= len(label) <= 10}
    pieces = Counter(p for label in labels for p in label.split("-") if p.isalpha() and 4 <= len(p) <= 10)
    whole |= {piece for piece, count in pieces.items() if count >= 3}
    seen: Counter[str] = Counter()
    for label in labels:
        at = ((begin, begin + size) for begin in range(len(label) - 3) for size in range(4, 11))
        seen.update({label[a:b] for a, b in at if b <= len(label) and label[a:b] in whole})
    return sorted(word for word, count in seen.items() if count >= 6)


def trees(fitted: list[Any]) -> dict[str, Any]:
    """Return the mean of scikit-learn's boosted trees as flat arrays."""
    roots, feature, threshold, left, right, value = [], [], [], [], [], []
    for (predictor,) in (predictors for one in fitted for predictors in one._predictors):
        begin = len(feature)
        roots.append(begin)
        for node in predictor.nodes:
            leaf = bool(node["is_leaf"])
            feature.append(0 if leaf else int(node["feature_idx"]))
            threshold.append(0.0 if leaf else float(node["num_threshold"]))
            left.append(-1 if leaf else begin + int(node["left"]))
            right.append(-1 if leaf else begin + int(node["right"]))
            value.append(float(node["value"]) / len(fitted) if leaf else 0.0)
    made = {"roots": roots, "feature": feature, "threshold": threshold, "left": left, "right": right, "value": value}
    base = np.mean([float(np.ravel(one._baseline_prediction)[0]) for one in fitted])
    return {name: np.array(values) for name, values in made.items()} | {"base": float(base)}


def sparse(counts: Any) -> tuple[Any, Any]:
    """Return counters as the gaps between those that are not 0, and their counts; none is rounded or cut."""
    at = np.flatnonzero(counts)
    return np.diff(at, prepend=0).astype("uint32"), counts[at].astype("uint32")


def figures(truth: Any, odds: Any) -> tuple[float, float, float]:
    """Return ROC AUC and the true-positive rates at 1 % and 0.1 % false positives."""
    usual = odds[~truth]
    ranks = np.argsort(np.argsort(odds, kind="stable"), kind="stable") + 1
    positives = int(truth.sum())
    area = (ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * len(usual))
    rates = [float((odds[truth] > np.quantile(usual, share)).mean()) for share in (0.99, 0.999)]
    return float(area), rates[0], rates[1]


def measured(model: Model, sample: list[list[str]]) -> None:
    """Print how good a model is on families that it has never seen."""
    taken = parts([row[2] for row in sample])
    labels = [label_of(p) for p in taken]
    odds = decided(table([label or p.suffix for label, p in zip(labels, taken, strict=True)], taken, model), model)
    truth = np.array([row[0] == "dga" for row in sample])
    area, one, tenth = figures(truth, odds)
    print(f"ROC AUC {area:.4f}, true positives {one:.1%} at 1 % false ones, {tenth:.1%} at 0.1 %")
    named = np.array([label != "" for label in labels])  # what has no label before its suffix has no score
    for said, limit in zip((0.99, 0.999), model.limits, strict=True):
        above = named & (odds > limit)
        print(
            f"{said} is passed by {above[~truth].mean():.2%} of usual names, {above[truth].mean():.1%} of made-up ones"
        )
    limit = np.quantile(odds[~truth], 0.99)
    for family in sorted({row[1] for row in sample if row[0] == "dga"}):
        mine = np.array([row[1] == family for row in sample])
        print(f"  {family:<14}{(odds[mine] > limit).mean():6.0%} of {mine.sum()}")


def train(folder: Path, seed: int = 1) -> tuple[Model, list[list[str]]]:
    """Return a trained model and the sample it was not trained on."""
    with (folder / "dga" / "dga_domains_sample.csv").open(encoding="utf-8") as file:
        sample = [row[:3] for row in csv.reader(file)]
    held_out = {label_of(p) for p, row in zip(parts([r[2] for r in sample]), sample, strict=True) if row[0] != "dga"}
    usual, weights = usual_names(folder, held_out)
    labels = [label_of(part) for part in usual]
    words = words_of(labels)
    order = np.random.default_rng(seed).permutation(len(usual))
    whole = ngrams.counted(labels)
    sounding = ngrams.counted(algorithms.sounding(45_000, seed + 1), (2, 3))
    known = Counter(part.suffix for part in usual)
    shares = {s: round((n + 3) / len(usual), 7) for s, n in known.most_common(SUFFIXES)} | {"?": 3 / len(usual)}
    made = algorithms.made_up(MADE_UP, seed + 2, words)
    r = random.Random(seed + 3)
    # under the suffixes that usual names have, so that what is before them tells; a few more below dynamic-DNS hosts
    hosted = [part for part in usual if part.kind == PRIVATE]
    about = [r.choice(hosted if r.random() < HOSTED else usual) for _ in made]

    def model_of(counts: Any, **grown: Any) -> Model:
        empty: Any = np.zeros(0)
        given = {"roots": empty, "feature": empty, "threshold": empty, "left": empty, "right": empty, "value": empty}
        return Model(counts, sounding, shares, **(given | {"base": 0.0} | grown), limits=(0.0, 1.0))

    rows, truth = [], []
    for fold in range(FOLDS):
        mine = order[fold::FOLDS]
        own = ngrams.counted([labels[at] for at in mine])
        others = model_of({k: whole[k] - own[k] for k in whole})
        rows.append(table([labels[at] for at in mine], [usual[at] for at in mine], others))
        drawn = range(fold, len(made), FOLDS)
        rows.append(table([made[at] for at in drawn], [about[at] for at in drawn], others))
        truth += [np.zeros(len(mine)), np.ones(len(drawn))]
    columns, answers = np.vstack(rows), np.concatenate(truth)
    model = model_of(whole, **trees(fit(columns, answers, seed)))
    odds = unseen(rows, model, seed)
    counted = np.concatenate([weights[order[fold::FOLDS]] for fold in range(FOLDS)])
    return model._replace(limits=(passed_by(odds, counted, 0.01), passed_by(odds, counted, 0.001))), sample


def fit(columns: Any, answers: Any, seed: int) -> list[Any]:
    """Return boosted trees, two halves, one of them blind for the suffix: it tells much of some families only."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return [
        HistGradientBoostingClassifier(
            max_iter=TREES, learning_rate=0.08, max_leaf_nodes=31, l2_regularization=5.0, min_samples_leaf=60,
            max_features=0.5, random_state=seed + at,
        ).fit(columns[:, : columns.shape[1] - (at > 0)], answers)
        for at in range(2)
    ]  # fmt: skip


def unseen(rows: list[Any], model: Model, seed: int) -> Any:
    """Return the log-odds of each fold's usual names by counts and trees that haven't seen them.

    `rows` are each fold's usual names and its made-up ones, in turn.
    """
    found = []
    for fold in range(FOLDS):
        others = [at for at in range(len(rows)) if at // 2 != fold]
        answers = np.concatenate([np.full(len(rows[at]), float(at % 2)) for at in others])
        blind = model._replace(**trees(fit(np.vstack([rows[at] for at in others]), answers, seed)))
        found.append(decided(rows[2 * fold], blind))
    return np.concatenate(found)


def passed_by(odds: Any, weights: Any, share: float) -> float:
    """Return the least limit that at most such a share of the weights is above."""
    order = np.argsort(odds, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    return float(odds[order][np.searchsorted(below, 1 - share)])


def keep(model: Model, path: Path) -> None:
    """Write a model as small as it gets."""
    kept: dict[str, Any] = {}
    for name, counts in (("usual", model.usual), ("sounding", model.sounding)):
        for order, values in counts.items():
            kept[f"{name}{order}_gaps"], kept[f"{name}{order}_counts"] = sparse(values)
    kept |= {"suffixes": " ".join(model.suffixes), "shares": np.array(list(model.suffixes.values()))}
    kept |= {"roots": model.roots.astype("int32"), "feature": model.feature.astype("uint8")}
    kept |= {"threshold": model.threshold, "value": model.value}  # a threshold rounded is another
    kept |= {"left": model.left.astype("int32"), "right": model.right.astype("int32")}
    kept |= {"base": model.base, "limits": np.array(model.limits)}
    np.savez_compressed(path, **kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("dnsnb/names/generated.npz"))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    model, sample = train(arguments.data, arguments.seed)
    keep(model, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB, {time.monotonic() - began:.0f} s")
    measured(read(arguments.out.read_bytes()), sample)


if __name__ == "__main__":
    main()
