"""Each merging method against its formula, written entry by entry in float64, and what its paper says of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from piste import merging
from piste.merging.sums import kth_largest


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


BASE = {"w": drawn(0, 6, 5), "b": drawn(1, 6)}
MODELS = [
    {n: t + 0.1 * drawn(10 * i + len(n) + t.ndim, *t.shape) for n, t in BASE.items()} for i in (1, 2, 3)
]
WEIGHTS = [0.5, 0.2, 0.3]


def merged(method: str, models=MODELS, **given):
    return {n: t.numpy() for n, t in merging.merge(method, models, **given).items()}


def moves() -> dict[str, list[np.ndarray]]:
    return {n: [(m[n] - BASE[n]).numpy() for m in MODELS] for n in BASE}


def close(found: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    for name in want:
        np.testing.assert_allclose(found[name], want[name], rtol=1e-12, atol=1e-13)


def test_a_soup_is_the_weighted_mean():
    want = {n: sum(w * m[n].numpy() for w, m in zip(WEIGHTS, MODELS, strict=True)) for n in BASE}
    close(merged("soup", weights=WEIGHTS), want)
    close(merged("soup"), {n: np.mean([m[n].numpy() for m in MODELS], 0) for n in BASE})


def test_the_soup_of_linear_models_answers_as_their_ensemble():
    x = drawn(5, 5)
    answers = [m["w"] @ x + m["b"] for m in MODELS]
    soup = merging.merge("soup", MODELS)
    torch.testing.assert_close(soup["w"] @ x + soup["b"], torch.stack(answers).mean(0))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_wise_ft_goes_from_the_base_to_the_model(alpha):
    want = {n: (1 - alpha) * BASE[n].numpy() + alpha * MODELS[0][n].numpy() for n in BASE}
    close(merged("wise_ft", MODELS[:1], base=BASE, alpha=alpha), want)


def test_task_arithmetic_adds_and_takes_away():
    want = {n: BASE[n].numpy() + 0.7 * (2 * d[0] - d[1] + 0.5 * d[2]) for n, d in moves().items()}
    close(merged("task_arithmetic", base=BASE, weights=[2, -1, 0.5], scale=0.7), want)


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
def test_slerp(t):
    ends = BASE, {n: drawn(7, *x.shape) for n, x in BASE.items()}
    want = {}
    for n in BASE:
        a, b = (m[n].numpy() for m in ends)
        angle = math.acos(np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
        want[n] = (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
    close(merged("slerp", ends, t=t), want)


def test_slerp_keeps_the_norm_and_is_a_line_where_there_is_no_arc():
    a = {"w": drawn(1, 40)}
    b = {"w": drawn(2, 40)}
    b["w"] *= a["w"].norm() / b["w"].norm()
    assert merging.merge("slerp", [a, b], t=0.4)["w"].norm().item() == pytest.approx(
        a["w"].norm().item(), rel=1e-12
    )
    for other in (a["w"], -a["w"], torch.zeros(40, dtype=torch.float64)):
        found = merging.merge("slerp", [a, {"w": other}], t=0.25)["w"]
        torch.testing.assert_close(found, 0.75 * a["w"] + 0.25 * other)


def test_model_stock():
    want = {}
    for n, d in moves().items():
        pairs = [(0, 1), (0, 2), (1, 2)]
        cos = np.mean([np.vdot(d[i], d[j]) / np.linalg.norm(d[i]) / np.linalg.norm(d[j]) for i, j in pairs])
        t = 3 * cos / (1 + 2 * cos)
        want[n] = BASE[n].numpy() + t * np.mean(d, 0)
    close(merged("model_stock", base=BASE), want)


def test_model_stock_of_equal_models_is_that_model_and_of_orthogonal_ones_the_base():
    same = merging.merge("model_stock", [MODELS[0], MODELS[0]], base=BASE)
    torch.testing.assert_close(same, MODELS[0])
    x, y = torch.zeros(2, 4, dtype=torch.float64)
    x[0], y[1] = 1.0, 2.0
    found = merging.merge(
        "model_stock", [{"w": x}, {"w": y}], base={"w": torch.zeros(4, dtype=torch.float64)}
    )
    torch.testing.assert_close(found["w"], torch.zeros(4, dtype=torch.float64))


def test_ties_by_hand():
    """density 1/2 of four entries: two each; signs by the weighted sum; the mean of those that agree."""
    zero = {"w": torch.zeros(4, dtype=torch.float64)}
    a = {"w": torch.tensor([3.0, -1.0, 0.5, 2.0], dtype=torch.float64)}  # keeps 3 and 2
    b = {"w": torch.tensor([-1.0, -4.0, 0.1, 3.0], dtype=torch.float64)}  # keeps -4 and 3
    found = merging.merge("ties", [a, b], base=zero, density=0.5)["w"]
    torch.testing.assert_close(found, torch.tensor([3.0, -4.0, 0.0, 2.5], dtype=torch.float64))
    found = merging.merge("ties", [a, b], base=zero, density=0.5, weights=[1.0, 3.0], scale=0.5)["w"]
    torch.testing.assert_close(found, torch.tensor([1.5, -2.0, 0.0, 1.375], dtype=torch.float64))


@pytest.mark.parametrize("over", ["tensor", "model"])
def test_ties(over):
    density, scale = 0.4, 0.8
    found = merged("ties", base=BASE, weights=WEIGHTS, density=density, scale=scale, over=over)
    kept: dict[str, list[np.ndarray]] = {n: [] for n in BASE}
    for i in range(3):
        sizes = {n: np.abs(d[i]) for n, d in moves().items()}
        whole = np.sort(np.concatenate([s.ravel() for s in sizes.values()]))[::-1]
        for n, size in sizes.items():
            ranked = whole if over == "model" else np.sort(size.ravel())[::-1]
            least = ranked[int(density * len(ranked)) - 1]
            kept[n].append(np.where(size >= least, moves()[n][i], 0.0))
    for n in BASE:
        d = [w * k for w, k in zip(WEIGHTS, kept[n], strict=True)]
        sign = np.where(sum(d) >= 0, 1, -1)
        top = sum(np.where(np.sign(x) == sign, x, 0) for x in d)
        low = sum(np.where(np.sign(x) == sign, w, 0) for x, w in zip(d, WEIGHTS, strict=True))
        want = BASE[n].numpy() + scale * np.divide(top, low, out=np.zeros_like(top), where=low != 0)
        np.testing.assert_allclose(found[n], want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("share", [0.001, 0.2, 0.77, 1.0])
def test_the_threshold_over_a_model_is_exact(dtype, share):
    rows = [
        [drawn(s + k, *shape).to(dtype) * 10.0 ** (-s) for k in (0, 50)]
        for s, shape in enumerate([(90,), (7, 11), (3,)])
    ]
    rows[1][0].zero_()
    found = kth_largest(lambda: iter(rows), share)
    for k in range(2):
        whole = torch.cat([r[k].flatten() for r in rows]).abs().sort(descending=True).values
        assert found[k] == whole[max(int(share * len(whole)), 1) - 1].item()


def test_dare_keeps_the_mean_and_draws_by_name_and_seed():
    wide = {"w": torch.zeros(200, 200, dtype=torch.float64)}
    moved = {"w": torch.ones(200, 200, dtype=torch.float64)}
    found = merging.merge("dare", [moved], base=wide, density=0.1)["w"]
    assert set(found.unique().tolist()) == {0.0, 10.0}
    assert abs((found != 0).double().mean().item() - 0.1) < 4 * math.sqrt(0.09 / 40_000)
    again, other = (merging.merge("dare", [moved], base=wide, density=0.1, seed=s)["w"] for s in (0, 1))
    assert torch.equal(found, again)
    assert not torch.equal(found, other)
    beside = merging.merge(
        "dare", [{"a": moved["w"].clone(), **moved}], base={"a": wide["w"].clone(), **wide}, density=0.1
    )
    assert torch.equal(beside["w"], found)  # whatever else is merged
    assert not torch.equal(beside["a"], found)


def test_dare_that_elects_is_ties_of_what_it_kept():
    found = merging.merge("dare", MODELS, base=BASE, density=1.0, elect=True, scale=0.6)
    want = merging.merge("ties", MODELS, base=BASE, density=1.0, scale=0.6)
    torch.testing.assert_close(found, want)


STATISTICS = [{n: drawn(100 + i, *t.shape) ** 2 for n, t in BASE.items()} for i in range(3)]


@pytest.mark.parametrize("by_length", [False, True])
def test_fisher(by_length):
    norms = [math.sqrt(sum(float((f**2).sum()) for f in s.values())) for s in STATISTICS]
    shares = [w / n for w, n in zip(WEIGHTS, norms, strict=True)] if by_length else WEIGHTS
    want = {}
    for n in BASE:
        f = [np.maximum(s[n].numpy(), 1e-6) * c for s, c in zip(STATISTICS, shares, strict=True)]
        want[n] = sum(x * m[n].numpy() for x, m in zip(f, MODELS, strict=True)) / sum(f)
    close(merged("fisher", statistics=STATISTICS, weights=WEIGHTS, by_length=by_length), want)


def test_gradient_matching_is_the_joint_minimiser_of_quadratics():
    """ℓ_t = ½(θ - m_t)ᵀH_t(θ - m_t), each fine-tuned with the prior ½(θ - θ₀)ᵀH₀(θ - θ₀)."""
    h0 = {"w": drawn(3, 8) ** 2 + 0.5}
    h = [{"w": drawn(20 + i, 8) ** 2} for i in range(3)]
    minima = [drawn(30 + i, 8) for i in range(3)]
    base = {"w": drawn(4, 8)}
    tuned = [
        {"w": (x["w"] * m + h0["w"] * base["w"]) / (x["w"] + h0["w"])} for x, m in zip(h, minima, strict=True)
    ]
    found = merging.merge(
        "gradient_matching", tuned, base=base, statistics=h, base_statistics=h0, prior=1e-15
    )["w"]
    joint = (sum(x["w"] * m for x, m in zip(h, minima, strict=True)) + h0["w"] * base["w"]) / (
        sum(x["w"] for x in h) + h0["w"]
    )
    torch.testing.assert_close(found, joint, rtol=1e-12, atol=1e-12)
    plain = merging.merge("task_arithmetic", tuned, base=base)["w"]
    assert (plain - joint).norm() > 0.1 * joint.norm()


def test_gradient_matching_without_curvature_is_task_arithmetic():
    none = {n: torch.zeros_like(t) for n, t in BASE.items()}
    found = merging.merge(
        "gradient_matching",
        MODELS,
        base=BASE,
        statistics=[none] * 3,
        base_statistics=none,
        weights=WEIGHTS,
        scale=0.4,
    )
    torch.testing.assert_close(
        found, merging.merge("task_arithmetic", MODELS, base=BASE, weights=WEIGHTS, scale=0.4)
    )


def test_a_method_of_ones_own():
    @merging.method(least=2)
    def the_median(tensors):
        """The entrywise median."""
        return torch.stack(list(tensors)).median(0).values

    found = merging.merge(the_median, MODELS)
    torch.testing.assert_close(found["w"], torch.stack([m["w"] for m in MODELS]).median(0).values)
    with pytest.raises(TypeError, match=r"decorate it with @piste.merging.method\(\)"):
        merging.merge(lambda tensors: tensors[0], MODELS)
