"""A compiled network gives what the network gives, outputs and gradients: traced here, compiled in `make test-all`."""

import pytest
import torch
from helpers import pass_of

import vtm_lesson as vtm


@pytest.mark.parametrize("partition", ["uniform", "learnable"])
def test_traced_as_one_graph_it_gives_the_same(partition):
    chance = torch.Generator().manual_seed(0)
    tokens, motion = torch.randn(2, 4, 4, 4, 12, generator=chance), torch.rand(2, 4, 4, 4, generator=chance)
    network = vtm.VideoClassifier(12, 2, (2, 4), classes=3, gamma=3, partition=partition)
    torch._dynamo.reset()
    traced = torch.compile(network, backend="eager", fullgraph=True)  # a break in the graph stops it
    (plain, gradients), (logits, traced_gradients) = (pass_of(one, tokens, motion) for one in (network, traced))
    assert torch.equal(plain, logits) and gradients.keys() == traced_gradients.keys()
    for name, value in gradients.items():
        assert torch.equal(value, traced_gradients[name]), name
