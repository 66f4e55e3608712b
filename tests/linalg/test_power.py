from __future__ import annotations

import pytest
import torch
from torch import Tensor

from piste.linalg import power_iteration, spectral_norm


def gaussian(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5), (3, 6, 4)])
def test_it_finds_the_largest_singular_value_from_below(shape):
    a = gaussian(*shape)
    exact = torch.linalg.matrix_norm(a, 2)
    torch.testing.assert_close(spectral_norm(a, 400), exact, rtol=1e-9, atol=0)
    estimates = torch.stack([spectral_norm(a, steps) for steps in (1, 2, 5, 20)])
    assert (estimates <= exact * (1 + 1e-12)).all()
    assert (estimates.diff(dim=0) >= -1e-12).all()


def test_vectors_belong_to_the_value():
    a = gaussian(7, 5)
    sigma, u, v = power_iteration(a, 400)
    torch.testing.assert_close(a @ v, sigma * u, rtol=0, atol=1e-8)
    torch.testing.assert_close(a.mT @ u, sigma * v, rtol=0, atol=1e-12)


def test_error_shrinks_with_the_fourth_power_of_the_gap():
    a = torch.diag(torch.tensor([1.0, 0.8], dtype=torch.float64))
    errors = [1 - spectral_norm(a, steps) for steps in (12, 13)]
    torch.testing.assert_close(
        errors[1] / errors[0], torch.tensor(0.8**4, dtype=torch.float64), rtol=0.02, atol=0
    )


def test_warm_start_continues():
    a = gaussian(6, 8)
    _, _, v = power_iteration(a, 3)
    torch.testing.assert_close(spectral_norm(a, 2, start=v), spectral_norm(a, 5), rtol=1e-12, atol=0)


def test_zero_and_vmap_and_bad_steps():
    assert spectral_norm(torch.zeros(3, 2)) == 0
    a = gaussian(5, 4, 3)
    torch.testing.assert_close(torch.func.vmap(spectral_norm)(a), spectral_norm(a), rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="steps >= 1"):
        spectral_norm(a, 0)
