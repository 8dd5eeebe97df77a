from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.passes.training.quantizers import Activation, least_error_step, on_grid, reaching_end  # noqa: E402

pytestmark = pytest.mark.frameworks


def weights(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_weights_lie_on_the_grid_of_their_channel():
    weight, step = weights(4, 3, 2, 2), torch.tensor([0.1, 0.2, 0.3, 1.0]).reshape(4, 1, 1, 1)
    multiple = on_grid(weight, step, 7) / step
    torch.testing.assert_close(multiple, multiple.round())
    assert multiple.abs().max() == 7
    assert ((on_grid(weight, step, 7) - weight).abs() <= step / 2)[weight.abs() <= 7 * step].all()


def test_a_lopsided_grid_has_one_value_less_on_the_side_without_the_largest_weight():
    weight = torch.tensor([[2.0, -1.9, 0.26], [-2.0, 1.9, 0.26], [2.0, -2.0, 0.0]])
    step = torch.full((3, 1), 0.25)
    multiples = on_grid(weight, step, 8, lopsided=True) / step
    assert multiples.tolist() == [[8, -7, 1], [-8, 7, 1], [7, -8, 0]]


def test_the_gradient_of_the_step_is_that_of_the_rounded_value():
    step = torch.tensor([[0.5]], requires_grad=True)
    weight = torch.tensor([[0.6, -0.2, 9.0]], requires_grad=True)
    on_grid(weight, step, 7).backward(torch.tensor([[1.0, 1.0, 1.0]]))
    # Inside the grid, the multiple stays and the rounding error grows with the step; beyond it, the value is 7 steps.
    slopes = (round(0.6 / 0.5) - 0.6 / 0.5) + (round(-0.2 / 0.5) + 0.2 / 0.5) + 7
    assert step.grad.item() == pytest.approx(slopes / (3 * 7) ** 0.5)
    assert weight.grad.tolist() == [[1.0, 1.0, 0.0]]


def test_the_least_error_is_below_that_of_the_largest_weights_step():
    weight = weights(5, 200)
    best, plain = least_error_step(weight, 7), weight.abs().amax(1, keepdim=True) / 7
    errors = [(on_grid(weight, step, 7) - weight).square().sum(1) for step in (best, plain)]
    assert (errors[0] <= errors[1]).all()
    assert errors[0].sum() < 0.9 * errors[1].sum()


def test_the_largest_weight_of_each_channel_lies_on_the_end():
    weight = weights(6, 10)
    too_large = weight.abs().amax(1, keepdim=True) / torch.tensor([[2.0], [4.0], [6.0], [6.6], [7.0], [9.0]])
    multiples = on_grid(weight, reaching_end(weight, too_large, 7), 7) / reaching_end(weight, too_large, 7)
    assert multiples.abs().amax(1).round().tolist() == [7.0] * 6


@pytest.mark.parametrize("positive", [True, False])
def test_activations_have_256_values_in_the_range_of_the_batches(positive):
    activation = Activation(positive).train()
    values = weights(1000).requires_grad_()
    expected = values.detach().relu() if positive else values.detach()
    assert torch.equal(activation(values), expected)
    activation.mode = "on"
    rounded = activation(values)
    step = float(expected.max() - min(0, expected.min())) / 255
    assert len(rounded.unique()) <= 256
    assert (rounded - expected).abs().max() <= step * 0.51
    rounded.sum().backward()
    assert values.grad.unique().tolist() == ([0.0, 1.0] if positive else [1.0])


def test_the_range_widens_while_it_is_watched_and_moves_in_training():
    activation = Activation(positive=False).train()
    activation.mode = "watch"
    for values in ([-1.0, 2.0], [-3.0, 1.0]):
        assert activation(torch.tensor(values)).tolist() == values
    assert activation.extent.tolist() == [-3.0, 2.0]
    activation.mode = "on"
    for _ in range(500):
        activation(torch.tensor([-1.0, 4.0]))
    assert activation.extent.tolist() == pytest.approx([-1.0, 4.0], abs=1e-3)
    activation.eval()(torch.tensor([-100.0, 100.0]))
    assert activation.extent.tolist() == pytest.approx([-1.0, 4.0], abs=1e-3)


def test_whole_numbers_pass():
    activation = Activation(positive=False).train()
    activation.mode = "on"
    assert activation(torch.tensor([3, 500])).tolist() == [3, 500]


def test_masks_are_left_as_they_are():
    activation = Activation(positive=False)
    values = torch.tensor([0.3, -1e9, 0.7])
    activation.mode = "watch"
    activation(values)
    activation.mode = "on"
    assert activation(values).tolist() == values.tolist()
