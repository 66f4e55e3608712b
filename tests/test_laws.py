"""Every law, on every registered transform and optimizer; and that each law catches a rule that breaks it."""

from __future__ import annotations

import pytest
import torch

import piste
from piste import laws, moment, total, transform

TRANSFORMS = [e for e in piste.registry("transform") if e.module.startswith("piste.")]
OPTIMIZERS = [
    e for e in piste.registry("optimizer") if e.module.startswith("piste.") and set(e.needs) <= {"closure"}
]


@pytest.mark.parametrize("entry", TRANSFORMS, ids=lambda e: e.name)
def test_every_transform_keeps_every_law(entry: piste.Entry) -> None:
    verdicts = laws.check(entry.target)  # type: ignore[arg-type]
    assert len(verdicts) >= 3, "a law that applies nowhere checks nothing"
    assert not [str(v) for v in verdicts if not v.holds]


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=lambda e: e.name)
def test_every_optimizer_keeps_every_law(entry: piste.Entry) -> None:
    verdicts = list(laws.check_optimizer(entry.target))
    assert len(verdicts) == 5
    assert not [str(v) for v in verdicts if not v.holds]


def broken(law: str, rule: object) -> str:
    """The detail of the law that the rule is meant to break."""
    failed = {v.law: v.detail for v in laws.check(rule) if not v.holds}  # type: ignore[arg-type]
    assert law in failed, f"only {failed} failed"
    return failed[law]


@pytest.fixture(autouse=True)
def no_trace_in_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piste._registry._entries", dict(piste._registry._entries))  # type: ignore[attr-defined]


def test_an_undeclared_mean_is_caught() -> None:
    @transform
    def cautious_without_its_sum(u, grad):  # type: ignore[no-untyped-def]
        mask = (u * grad > 0).to(u.dtype)
        return u * mask / mask.mean().clamp(min=1e-3)

    assert "declare the sum" in broken("element commutes with cutting", cautious_without_its_sum)


def test_a_declared_sum_passes() -> None:
    @transform(sums={"kept": piste.mean(lambda u, grad: (u * grad > 0).to(u.dtype))})
    def cautious_with_its_sum(u, grad, kept):  # type: ignore[no-untyped-def]
        return u * (u * grad > 0).to(u.dtype) / kept.clamp(min=1e-3)

    assert all(v.holds for v in laws.check(cautious_with_its_sum))


def test_a_hidden_row_sum_in_a_slot_is_caught() -> None:
    @transform(seen=moment("m"))
    def remembers_rows(u, seen):  # type: ignore[no-untyped-def]
        return u, seen + u.sum(dim=-1, keepdim=True)

    assert "seen" in broken("element commutes with cutting", remembers_rows)


def test_writing_in_place_is_caught() -> None:
    @transform(buffer=moment)
    def writes(u, buffer):  # type: ignore[no-untyped-def]
        return u, buffer.add_(u)

    assert "in place" in broken("inputs unchanged", writes)


def test_a_change_of_dtype_is_caught() -> None:
    @transform
    def casts(u):  # type: ignore[no-untyped-def]
        return u.float()

    assert "float32" in broken("dtype and shape kept", casts)


def test_a_branch_on_a_moving_number_is_caught() -> None:
    @transform
    def branches(u, step, *, beta=0.9):  # type: ignore[no-untyped-def]
        return u * float(int(beta * step * 10) / 7) if isinstance(step, int) else u

    broken("numbers may be tensors", branches)


def test_a_matrix_rule_that_reads_its_batch_is_caught() -> None:
    @transform(scope="tensor")
    def constant_size(u):  # type: ignore[no-untyped-def]
        return u / (u.norm() + 1) if bool(torch.isfinite(u).all()) else u

    broken("commutes with stacking", constant_size)


def test_a_false_invariance_is_caught() -> None:
    @transform(invariant=("scale",))
    def not_scale_free(u):  # type: ignore[no-untyped-def]
        return u

    assert "scale" in broken("declared invariances hold", not_scale_free)


def test_the_tree_norm_is_one_number_for_all() -> None:
    @transform(sums={"size": total(lambda u: u.square(), over="tree")})
    def normalized(u, size):  # type: ignore[no-untyped-def]
        return u / size.sqrt()

    assert all(v.holds for v in laws.check(normalized))
