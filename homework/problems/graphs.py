"""LightGCN and graph filters: self-loops, a polynomial of the item graph, a newcomer in a trained model, a closed-form filter."""

import numpy as np
import scipy.sparse as sp
import torch

from problems import Contest, Problem
from problems._worlds import law_held
from recsys_lite.baselines import Popularity
from recsys_lite.examples import Queries
from recsys_lite.linear import EASE, GraphFilter
from recsys_lite.synthetic import World

PAGE = "LightGCN (graphs/lightgcn)"


# --- 1. propagation with self-loops -----------------------------------------------------------------------------------
def self_loops(users, items, start, n_users, weights):
    """sum_k a_k (D^-1/2 (A + I) D^-1/2)^k E_0 with D the degrees of A + I; (N, d)."""
    edges = np.eye(len(start))
    edges[users, n_users + items] = edges[n_users + items, users] = 1
    root = edges.sum(axis=1) ** 0.5
    step, layer, total = edges / np.outer(root, root), start, weights[0] * start
    for weight in weights[1:]:
        layer = step @ layer
        total = total + weight * layer
    return total


def self_loops_sparse(users, items, start, n_users, weights):
    """Sparse matrices, and Horner's rule from the last weight on."""
    n = len(start)
    block = sp.csr_matrix((np.ones(len(users)), (users, items)), shape=(n_users, n - n_users)).sign()
    edges = sp.bmat([[None, block], [block.T, None]]) + sp.eye(n)
    scale = sp.diags(np.asarray(edges.sum(axis=1)).ravel() ** -0.5)
    total = np.zeros_like(start)
    for weight in reversed(list(weights)):
        total = scale @ (edges @ (scale @ total)) + weight * start
    return total


def self_loops_node_by_node(users, items, start, n_users, weights):
    near = {node: {node} for node in range(len(start))}
    for u, i in zip(users.tolist(), items.tolist()):
        near[u].add(n_users + i)
        near[n_users + i].add(u)
    layer, total = torch.tensor(start), weights[0] * torch.tensor(start)
    for weight in weights[1:].tolist():
        layer = torch.stack(
            [sum(layer[b] / (len(near[a]) * len(near[b])) ** 0.5 for b in sorted(near[a])) for a in range(len(start))]
        )
        total = total + weight * layer
    return total


def _self_loops(
    loops=True, loops_in_degrees=True, left=-0.5, right=-0.5, zeroth=True, equal=False, repeats=False, offset=True
):
    def slip(users, items, start, n_users, weights):
        edges, shift = np.zeros((len(start), len(start))), n_users if offset else 0
        np.add.at(edges, (users, shift + items), 1.0)
        edges = edges + edges.T
        edges = edges if repeats else np.minimum(edges, 1)
        degrees = np.maximum(edges.sum(axis=1) + (loops and loops_in_degrees), 1)
        step = degrees[:, None] ** left * (edges + loops * np.eye(len(start))) * degrees**right
        weights = np.full(len(weights), 1 / len(weights)) if equal else weights
        layer, total = start, zeroth * weights[0] * start
        for weight in weights[1:]:
            layer = step @ layer
            total = total + weight * layer
        return total

    return slip


def self_loops_inputs(rng):
    n_users, n_items = int(rng.integers(4, 6)), int(rng.integers(5, 7))
    pairs = [(u, i) for u in range(n_users - 1) for i in range(n_items - 1)]  # the last user and item have no edges
    chosen = rng.choice(len(pairs), size=int(rng.integers(6, 9)), replace=False)
    events = np.array([pairs[k] for k in [*chosen, chosen[0], chosen[0]]])
    weights = rng.uniform(0.1, 1, size=int(rng.integers(3, 5)))
    return {
        "users": events[:, 0], "items": events[:, 1], "start": rng.normal(size=(n_users + n_items, 2)),
        "n_users": n_users, "weights": weights / weights.sum(),
    }  # fmt: skip


# --- 2. a polynomial of the item graph --------------------------------------------------------------------------------
def polynomial(histories, matrix, coefficients):
    """h D^-1/2 sum_k c_k (N^T N)^k D^1/2 with N = D_U^-1/2 R D^-1/2, from the left, by products with R alone; (S, m)."""
    of_users, of_items = np.maximum(matrix.sum(axis=1), 1), np.maximum(matrix.sum(axis=0), 1)
    term = histories / of_items**0.5
    total = coefficients[0] * term
    for c in coefficients[1:]:
        term = ((term / of_items**0.5) @ matrix.T / of_users) @ matrix / of_items**0.5
        total = total + c * term
    return total * of_items**0.5


def polynomial_walk(histories, matrix, coefficients):
    """The roots cancel: it is a walk from item to user to item, h sum_k c_k (D^-1 R^T D_U^-1 R)^k."""
    to_user = torch.tensor(matrix.T / np.maximum(matrix.sum(axis=0), 1)[:, None])
    to_item = torch.tensor(matrix / np.maximum(matrix.sum(axis=1), 1)[:, None])
    walkers, total = torch.tensor(histories), 0
    for c in coefficients:
        total = total + c * walkers
        walkers = walkers @ to_user @ to_item
    return total


def polynomial_spectrum(histories, matrix, coefficients):
    """By eigenvectors of the item graph."""
    of_users, root = np.maximum(matrix.sum(axis=1), 1), np.maximum(matrix.sum(axis=0), 1) ** 0.5
    values, vectors = np.linalg.eigh((matrix / root).T @ (matrix / root / of_users[:, None]))
    response = np.polynomial.polynomial.polyval(values, coefficients)
    return (histories / root) @ (vectors * response) @ vectors.T * root


def _polynomial(before=-0.5, after=0.5, item_power=-0.5, user_power=-1.0, shift=0, backwards=False):
    def slip(histories, matrix, coefficients):
        of_users, of_items = np.maximum(matrix.sum(axis=1), 1.0), np.maximum(matrix.sum(axis=0), 1.0)
        coefficients = coefficients[::-1] if backwards else coefficients
        graph = of_items[:, None] ** item_power * (matrix.T * of_users**user_power @ matrix) * of_items**item_power
        power, total = np.linalg.matrix_power(graph, shift), 0
        for c in coefficients:
            total, power = total + c * power, power @ graph
        return (histories * of_items**before) @ total * of_items**after

    return slip


def polynomial_inputs(rng):
    n_users, n_items = int(rng.integers(5, 7)), int(rng.integers(5, 7))
    matrix = (rng.random((n_users, n_items)) < 0.5) * 1.0
    matrix[:, 0], matrix[:3, 1], matrix[0, :3] = 1, 1, 1
    matrix[-1], matrix[:, -1] = 0, 0  # a user and an item without events
    histories = (rng.random((3, n_items)) < 0.4) * 1.0
    histories[0, :2], histories[1] = 1, 0  # an empty history
    return {"histories": histories, "matrix": matrix, "coefficients": rng.uniform(-1, 1, size=int(rng.integers(3, 5)))}


# --- 3. a newcomer in a trained model ---------------------------------------------------------------------------------
def newcomer(histories, layers, degrees, weights):
    """sum_{k >= 1} a_k sum_{i in h} e_i^(k-1) / sqrt(n_h (d_i + 1)), (S, d)."""
    scaled = histories / np.sqrt(degrees + 1) / np.sqrt(np.maximum(histories.sum(axis=1, keepdims=True), 1))
    return sum(a * scaled @ layer for a, layer in zip(weights[1:], layers[:-1]))


def newcomer_loop(histories, layers, degrees, weights):
    vectors = []
    for row in histories:
        met, x = np.flatnonzero(row), np.zeros(layers.shape[2])
        for k in range(1, len(layers)):
            for i in met:
                x += weights[k] * layers[k - 1, i] / (len(met) * (degrees[i] + 1)) ** 0.5
        vectors.append(x)
    return vectors


def newcomer_torch(histories, layers, degrees, weights):
    h, e, a = (torch.tensor(each) for each in (histories, layers, weights))
    edges = h / (h.sum(1, keepdim=True).clamp(min=1) * (torch.tensor(degrees) + 1)).sqrt()
    return edges @ torch.einsum("k,kid->id", a[1:], e[:-1])


def _newcomer(user_power=-0.5, item_power=-0.5, new_edge=1, layer_of=lambda e: e[:-1], weight_of=lambda a: a[1:]):
    def slip(histories, layers, degrees, weights):
        n = np.maximum(histories.sum(axis=1, keepdims=True), 1.0)
        edges = histories * np.maximum(degrees + new_edge, 1.0) ** item_power * n**user_power
        return sum(a * edges @ layer for a, layer in zip(weight_of(weights), layer_of(layers)))

    return slip


def newcomer_inputs(rng):
    n, n_layers = int(rng.integers(5, 8)), int(rng.integers(3, 5))
    histories = (rng.random((4, n)) < 0.5) * 1.0
    histories[0], histories[1, :4], histories[2, 2:4] = 0, 1, 1
    weights = rng.uniform(0.1, 1, size=n_layers)
    degrees = rng.integers(1, 12, size=n)
    degrees[3] = 0  # nobody had met it
    return {
        "histories": histories, "layers": rng.normal(size=(n_layers, n, 2)), "degrees": degrees,
        "weights": weights / weights.sum(),
    }  # fmt: skip


# --- 4. a filter in closed form ---------------------------------------------------------------------------------------
def _queries(log):
    users = np.arange(log.n_users)
    return Queries(torch.from_numpy(users), torch.from_numpy(log.history(users)))


def low_pass(log, dim=5, alpha=10.0):
    """GF-CF with few directions and much weight on them."""
    return GraphFilter(dim, alpha).fit(log).score_items(_queries(log))


def linear_filter(log):
    """GF-CF as it is often set: two steps along normalised edges count most."""
    return low_pass(log, 8, 0.3)


def heat(log):
    """Events times the heat kernel of the item graph."""
    met = (log.matrix().toarray() > 0) * 1.0
    scaled = met / np.maximum(met.sum(axis=1), 1)[:, None] ** 0.5 / np.maximum(met.sum(axis=0), 1) ** 0.5
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    return met @ (vectors * np.exp(-8 * (1 - values))) @ vectors.T


def three_edges(log):
    """Paths of three edges from the user to the item, counted."""
    met = (log.matrix().toarray() > 0) * 1.0
    return met @ met.T @ met


def popularity(log):
    return Popularity().fit(log).score_items(_queries(log))


def ease(log):
    return EASE(100.0).fit(log).score_items(_queries(log))


def score(fit, seed):
    """How much more of the law than the paths of three edges the top tens hold, in a world with five events a user."""
    world = World(n_users=300, n_items=200, taste=3.0, popularity=0.3, seed=seed)
    log = world.interactions(per_user=5)
    return law_held(world, fit(log), 10) - law_held(world, three_edges(log), 10)


PROBLEMS = {
    "self_loops": Problem(
        self_loops, self_loops_inputs,
        {
            "no self-loops": _self_loops(loops=False),
            "degrees without the self-loop": _self_loops(loops_in_degrees=False),
            "divided by the receiver's degree alone": _self_loops(left=-1, right=0),
            "divided by both degrees, not by their roots": _self_loops(left=-1, right=-1),
            "the zeroth layer is left out": _self_loops(zeroth=False),
            "equal weights in place of those given": _self_loops(equal=True),
            "a pair that met three times is three edges": _self_loops(repeats=True),
            "user 0 and item 0 are the same node": _self_loops(offset=False),
        },
        [self_loops_sparse, self_loops_node_by_node], PAGE, tolerance=1e-5,
    ),
    "polynomial": Problem(
        polynomial, polynomial_inputs,
        {
            "the roots of the degrees before and after are left out": _polynomial(before=0, after=0),
            "the roots before and after the wrong way round": _polynomial(before=0.5, after=-0.5),
            "the items' degrees inside are left out": _polynomial(item_power=0.0),
            "the users' degrees are left out": _polynomial(user_power=0.0),
            "the root of the users' degrees, which stand there twice": _polynomial(user_power=-0.5),
            "the first coefficient stands before the first power, not the zeroth": _polynomial(shift=1),
            "the coefficients are read from the highest power down": _polynomial(backwards=True),
        },
        [polynomial_walk, polynomial_spectrum], PAGE, tolerance=1e-5,
    ),
    "newcomer": Problem(
        newcomer, newcomer_inputs,
        {
            "a plain mean of the items' vectors": _newcomer(user_power=-1, item_power=0),
            "divided by both degrees, not by their roots": _newcomer(user_power=-1, item_power=-1),
            "the new edge does not count in the items' degrees": _newcomer(new_edge=0),
            "the user's own degree is left out": _newcomer(user_power=0),
            "layer k is taken from the items' layer k, which is a step too far": _newcomer(layer_of=lambda e: e[1:]),
            "the items' final vectors are sent, all their layers with all the weights": _newcomer(
                layer_of=lambda e: e, weight_of=lambda a: a
            ),
            "the weights are one layer too early": _newcomer(weight_of=lambda a: a[:-1]),
        },
        [newcomer_loop, newcomer_torch], PAGE, tolerance=1e-5,
    ),
    "smooth": Contest(
        low_pass, score, 0.045,
        {"popularity": popularity, "paths of three edges": three_edges, "EASE": ease, "GF-CF with little low-pass": linear_filter},
        [heat], PAGE,
    ),
}  # fmt: skip
