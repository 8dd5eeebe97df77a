from __future__ import annotations

import numpy as np
import pytest

from bitpick.passes.weight_grid import WeightGrid

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("127_per_channel", WeightGrid(127, True)),
        ("64_per_tensor", WeightGrid(64, False)),
        ("7_per_channel_clipped", WeightGrid(7, True, clipped=True)),
        ("8_per_channel_lopsided", WeightGrid(8, True, lopsided=True)),
        ("8_per_channel_lopsided_clipped", WeightGrid(8, True, clipped=True, lopsided=True)),
        ("7_per_channel_clipped_convolutions_127", WeightGrid(7, True, clipped=True, convolutions=127)),
        ("7_per_channel_convolutions_127_depthwise_64", WeightGrid(7, True, convolutions=127, depthwise=64)),
        ("7_per_channel_clipped_depthwise_127", WeightGrid(7, True, clipped=True, depthwise=127)),
        ("7_per_channel_clipped_mix_0a1b2c3d", WeightGrid(7, True, clipped=True, mix="0a1b2c3d")),
    ],
)
def test_a_grid_is_known_by_its_name(name, grid):
    assert str(grid) == name
    assert WeightGrid.parse(name) == grid


def test_depthwise_convolutions_may_have_another_grid():
    grid = WeightGrid(7, True, clipped=True, depthwise=127)
    assert grid.of("a", True, True) == WeightGrid(127, True)
    assert grid.of("a", True, False) == grid.of("a", False, False) == WeightGrid(7, True, clipped=True)
    assert WeightGrid(7, True, clipped=True).of("a", True, True) == WeightGrid(7, True, clipped=True)


def test_all_convolutions_may_have_another_grid():
    grid = WeightGrid(7, True, clipped=True, convolutions=127)
    assert grid.of("a", False, False) == WeightGrid(7, True, clipped=True)
    assert grid.of("a", True, True) == grid.of("a", True, False) == WeightGrid(127, True)
    assert WeightGrid(7, True, convolutions=127, depthwise=64).of("a", True, True) == WeightGrid(64, True)


def test_single_layers_may_have_another_grid_or_stay_in_float():
    own = WeightGrid(127, True, depthwise=64)
    grid = WeightGrid(7, True, clipped=True, mix="0a", layers={"own": own, "float": None})
    assert grid.of("own", False, False) == WeightGrid(127, True)
    assert grid.of("own", True, True) == WeightGrid(64, True)
    assert grid.of("float", True, False) is None
    assert grid.of("other", True, False) == WeightGrid(7, True, clipped=True)
    assert str(grid) == "7_per_channel_clipped_mix_0a"


@pytest.mark.parametrize("clipped", [True, False])
def test_a_lopsided_grid_is_a_twos_complement_with_the_largest_weight_at_the_longer_end(clipped):
    rows = RNG.laplace(size=(6, 200))
    rows[0, 0], rows[1, 0], rows[2, :2] = -9, 9, (9, -9)
    grid = WeightGrid(8, True, clipped=clipped, lopsided=True)
    steps = np.round(grid.nearest(rows, grid.scales(rows)) / grid.scales(rows))
    longer = np.where(-rows.min(axis=1) >= rows.max(axis=1), -1, 1)
    assert longer[:3].tolist() == [-1, 1, -1]
    assert ((steps * longer[:, None]).max(axis=1) == 8).all()
    assert ((steps * longer[:, None]).min(axis=1) >= -7).all()
    assert (steps * longer[:, None])[2].min() == -7


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_largest_weight_is_at_the_end_of_the_grid(per_channel):
    rows = RNG.normal(size=(3, 50)) * [[1], [10], [100]]
    grid = WeightGrid(7, per_channel)
    scales = grid.scales(rows)
    assert scales.shape == (3, 1)
    largest = np.abs(rows).max(axis=1, keepdims=True) if per_channel else np.abs(rows).max()
    np.testing.assert_allclose(scales * 7, np.broadcast_to(largest, (3, 1)))
    steps = grid.nearest(rows, scales) / scales
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert np.abs(steps).max() == pytest.approx(7)


def test_a_clipped_grid_ends_where_the_error_is_least():
    rows = RNG.laplace(size=(4, 500))  # long tails
    whole, clipped = WeightGrid(7, True), WeightGrid(7, True, clipped=True)

    def error(grid):
        return ((grid.nearest(rows, grid.scales(rows)) - rows) ** 2).sum()

    assert (clipped.scales(rows) < whole.scales(rows)).all()
    assert error(clipped) < 0.75 * error(whole)


def test_a_channel_of_zeros_stays_zero():
    rows = np.array([[0.0, 0.0], [1.0, -0.4]])
    for grid in (WeightGrid(7, True), WeightGrid(7, True, clipped=True)):
        rounded = grid.nearest(rows, grid.scales(rows))
        assert not rounded[0].any()
        assert np.isfinite(rounded).all()
