"""The factor of an inverse beside LAPACK's, over several blocks and over less than one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from youtu_onnx.exporters.quantize import inverse_factor  # noqa: E402


@pytest.mark.parametrize("columns", [1, 8, 9, 16, 61])
def test_it_is_the_upper_factor_of_the_inverse(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverse_factor, "BLOCK", 8)
    rows = torch.randn(columns, 3 * columns, dtype=torch.float64, generator=torch.Generator().manual_seed(columns))
    matrix = rows @ rows.T + torch.eye(columns, dtype=torch.float64)
    made = inverse_factor.inverse_factor(matrix.flip(0, 1).contiguous())
    assert made.dtype == torch.float32 and torch.equal(made, made.triu())
    torch.testing.assert_close(made.double(), torch.linalg.cholesky(torch.linalg.inv(matrix), upper=True), rtol=1e-6, atol=1e-7)


def test_a_matrix_that_is_not_positive_definite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverse_factor, "BLOCK", 8)
    matrix = torch.eye(20, dtype=torch.float64)
    matrix[15, 15] = -1
    with pytest.raises(torch.linalg.LinAlgError):
        inverse_factor.inverse_factor(matrix)
