"""Nearest vectors, fast: the only module that knows Faiss."""

import faiss
import numpy as np

from recsys_lite.examples import Queries
from recsys_lite.vectors import VectorModel


def _as_vectors(values: np.ndarray, dim: int | None, name: str) -> np.ndarray:
    vectors = np.ascontiguousarray(values, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) == 0 or (dim is not None and vectors.shape[1] != dim):
        raise ValueError(f"{name} must be (n, {dim or 'd'}) with n >= 1; got {vectors.shape}.")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} must be finite; got NaN or infinity.")
    return vectors


class VectorIndex:
    """Maximum inner product search over item vectors (n_items, d).

    kind is a Faiss factory string: "Flat" is exact, "IVF64,Flat" scans `n_probe` of 64 cells (1 by default),
    "HNSW32,Flat" walks a graph (with a beam of 16, or as wide as what is looked up), "PQ16" compresses to 16 bytes a vector. What has to be learned (cells, codebooks) is
    learned from the vectors themselves.
    """

    def __init__(self, vectors: np.ndarray, kind: str = "Flat", n_probe: int | None = None):
        vectors = _as_vectors(vectors, None, "vectors")
        self.n_items, self.dim = vectors.shape
        try:
            self._index = faiss.index_factory(self.dim, kind, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise ValueError(
                f"kind must be a Faiss factory string that fits {self.dim} dimensions, such as 'Flat' or 'IVF64,Flat'; "
                f"got {kind!r}."
            ) from error
        if isinstance(self._index, faiss.IndexPQ):
            self._index.do_polysemous_training = False  # sorts the codes for a filter that is not used, and takes minutes
        try:
            self._index.train(vectors)
        except RuntimeError as error:
            raise ValueError(
                f"vectors must be enough to learn {kind!r} from; got {self.n_items}. Take fewer cells, or 'Flat'."
            ) from error
        self._index.add(vectors)
        if n_probe is not None:
            self._set_n_probe(n_probe, kind)

    def _set_n_probe(self, n_probe: int, kind: str) -> None:
        if n_probe < 1:
            raise ValueError(f"n_probe must be at least 1; got {n_probe}.")
        try:
            faiss.ParameterSpace().set_index_parameter(self._index, "nprobe", n_probe)
        except RuntimeError as error:
            raise ValueError(f"n_probe is for kinds with cells such as 'IVF64,Flat'; got kind={kind!r}.") from error

    def search(
        self, queries: np.ndarray, k: int, *, exclude: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(items (S, k), scores (S, k)) for query vectors (S, d), best first; -1 and -inf pad what was not found.

        exclude: (S, L) items that must not come back, padded with n_items: k + L are looked up, and these dropped.
        """
        queries = _as_vectors(queries, self.dim, "queries")
        if not 1 <= k <= self.n_items:
            raise ValueError(f"k must be in [1, {self.n_items}], the size of the index; got {k}.")
        if exclude is not None and (np.ndim(exclude) != 2 or len(exclude) != len(queries)):
            raise ValueError(f"exclude must be ({len(queries)}, L), a row a query; got {np.shape(exclude)}.")
        n_excluded = 0 if exclude is None else np.shape(exclude)[1]
        n_wanted, beam = min(k + n_excluded, self.n_items), None
        if isinstance(self._index, faiss.IndexHNSW):  # a graph returns no more than its beam holds
            beam = faiss.SearchParametersHNSW(efSearch=max(self._index.hnsw.efSearch, n_wanted))
        scores, items = self._index.search(queries, n_wanted, params=beam)
        scores[items < 0] = -np.inf
        if exclude is not None:
            dropped = np.array([np.isin(row, seen) for row, seen in zip(items, np.asarray(exclude))])
            items, scores = np.where(dropped, -1, items), np.where(dropped, -np.inf, scores)
            order = np.argsort(dropped, axis=1, kind="stable")
            items, scores = np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
        missing = max(k - items.shape[1], 0)
        items = np.pad(items[:, :k], ((0, 0), (0, missing)), constant_values=-1)
        return items, np.pad(scores[:, :k], ((0, 0), (0, missing)), constant_values=-np.inf)

    def recommend(
        self, model: VectorModel, queries: Queries, k: int, *, exclude: np.ndarray | None = None
    ) -> np.ndarray:
        """The k best items of each request, (S, k), -1 pads: `evaluation.recommend` through the index."""
        return self.search(model.user_vectors(queries), k, exclude=exclude)[0]

    def n_bytes(self) -> int:
        """Size of the index when written out, in bytes."""
        return faiss.serialize_index(self._index).nbytes
