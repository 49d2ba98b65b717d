"""The trees of LightGBM as arrays, from which its text of a model is written anew: what reads that text trusts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from retrieval_bench.arrays import Sizes, load_array, save_array, unfit

_SPLITS = {
    "split_feature": np.int64, "threshold": np.float64, "decision_type": np.int64, "left_child": np.int64,
    "right_child": np.int64,
}  # fmt: skip
_DECISIONS = 16  # no split by categories (1), any way to treat what is missing
_MOST = 1 << 20


def plain(booster: lightgbm.Booster, features: int) -> tuple[lightgbm.Booster, dict[str, Any]]:
    """The booster without the record of how it was made, and the arrays that it is: those of all trees together.

    Returns:
        A booster with the same predictions, and ``leaves`` (trees,), ``leaf_value`` (all leaves,) and, one for each
        leaf of a tree but the last, the splits' arrays.
    """
    trees = [_fields(block) for block in booster.model_to_string().split("\nTree=")[1:]]
    arrays = {"leaves": np.array([int(tree["num_leaves"]) for tree in trees], np.int64)}
    for name, kind in {**_SPLITS, "leaf_value": np.float64}.items():
        arrays[name] = np.array([float(value) for tree in trees for value in tree.get(name, "").split()], kind)
    return _booster(arrays, features), arrays


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n\n")[0].splitlines() if "=" in line)


def save_trees(folder: Path, arrays: dict[str, Any]) -> None:
    """Write the arrays that ``plain`` gave into an existing folder."""
    for name, array in arrays.items():
        save_array(folder / f"{name}.npy", array)


def load_trees(folder: Path, features: int) -> tuple[lightgbm.Booster, dict[str, Any]]:
    """Read what ``save_trees`` wrote, as ``plain`` gave it.

    Raises:
        ArtifactError: an array is missing or damaged, or they are no trees over so many features.
    """
    sizes: Sizes = {}
    arrays = {"leaves": load_array(folder / "leaves.npy", np.int64, (None,), low=1, high=_MOST)}
    limits = {"split_feature": (0, features), "decision_type": (0, _DECISIONS), "left_child": (-_MOST, _MOST),
              "right_child": (-_MOST, _MOST), "threshold": (None, None)}  # fmt: skip
    for name, kind in _SPLITS.items():
        low, high = limits[name]
        arrays[name] = load_array(folder / f"{name}.npy", kind, ("splits",), sizes, low=low, high=high)
    arrays["leaf_value"] = load_array(folder / "leaf_value.npy", np.float64, (int(arrays["leaves"].sum()),))
    splits = arrays["leaves"] - 1
    if not len(splits) or int(splits.sum()) != sizes["splits"] or (arrays["decision_type"] & 1).any():
        raise unfit(folder, "its trees do not have as many splits as leaves")
    # A split leads to later ones only and each but the first is led to once, as is each leaf: so every way ends.
    start = 0
    for count in splits.tolist():
        part = slice(start, start + count)
        children = np.concatenate([arrays["left_child"][part], arrays["right_child"][part]])
        ahead = children > np.tile(np.arange(count), 2)
        if (np.sort(children) != np.setdiff1d(np.arange(-count - 1, count), [0])).any() if count else False:
            raise unfit(folder, "a tree's splits and leaves are not each led to once")
        if not (ahead | (children < 0)).all():
            raise unfit(folder, "a split of a tree leads back")
        start += count
    return _booster(arrays, features), arrays


def _booster(arrays: dict[str, Any], features: int) -> lightgbm.Booster:
    text = [
        "tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0",
        f"max_feature_idx={features - 1}", "objective=lambdarank",
        "feature_names=" + " ".join(f"f{i}" for i in range(features)),
        "feature_infos=" + " ".join(["none"] * features), "",
    ]  # fmt: skip
    split = leaf = 0
    for number, leaves in enumerate(arrays["leaves"].tolist()):
        text += [f"Tree={number}", f"num_leaves={leaves}", "num_cat=0"]
        for name in _SPLITS:
            text.append(f"{name}=" + " ".join(map(repr, arrays[name][split : split + leaves - 1].tolist())))
        text.append("leaf_value=" + " ".join(map(repr, arrays["leaf_value"][leaf : leaf + leaves].tolist())))
        text += ["is_linear=0", "shrinkage=1", "", ""]
        split, leaf = split + leaves - 1, leaf + leaves
    return lightgbm.Booster(model_str="\n".join([*text, "end of trees", ""]))
