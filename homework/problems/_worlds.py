"""How good a student's scores are in a world whose law is known."""

import numpy as np

from recsys_lite.synthetic import World


def law_held(world: World, scores, k: int) -> float:
    """The probability of a user's next choice that the k best by score hold, over that of the k most probable; mean over users."""
    scores, law = np.asarray(scores, dtype=float), world.probabilities()
    if scores.shape != law.shape:
        raise AssertionError(
            f"scores must have shape {law.shape}, a row a user and a column an item; got {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise AssertionError("scores must be finite.")
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((np.take_along_axis(law, top, axis=1).sum(axis=1) / np.sort(law, axis=1)[:, -k:].sum(axis=1)).mean())
