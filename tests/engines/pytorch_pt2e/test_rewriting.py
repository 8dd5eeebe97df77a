from __future__ import annotations

import pytest

from bitpick.engines.pytorch_pt2e.rewriting import rewrite


@pytest.mark.frameworks
@pytest.mark.parametrize("length", [None, 9], ids=["two axes", "one axis"])
def test_what_is_rewritten_for_the_compiler_computes_the_same(length):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    kind, axes = (torch.nn.Conv2d, 2) if length is None else (torch.nn.Conv1d, 1)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        kind(1, 4, 3, padding=1), torch.nn.ReLU(), kind(4, 4, 3, stride=2, groups=2), torch.nn.Flatten()
    )
    sample = torch.randn(3, 1, *[length or 7] * axes)
    program = torch.export.export(net.eval(), (sample,)).module(check_guards=False)
    with torch.no_grad():
        expected = program(sample)
        rewrite(program)
        torch.testing.assert_close(program(sample), expected)
    aten = torch.ops.aten
    convolutions = [node for node in program.graph.nodes if "conv" in str(node.target)]
    assert [node.target for node in convolutions] == [aten.conv2d.default] * 2
    stored = dict(program.named_parameters())
    assert [stored[node.args[1].target].shape[:2] for node in convolutions] == [(4, 2), (4, 2)]
    for node in convolutions:  # what is known of each tensor before it is computed is what it becomes
        assert node.meta["val"].ndim == node.args[0].meta["val"].ndim == 4
