"""Networks compiled by torch.compile, whatever merges in them: the same outputs and gradients as without."""

import shutil

import pytest
import torch
from helpers import pass_of

import vtm_lesson as vtm

KINDS = [
    {"partition": "uniform"},
    {"partition": "motion"},
    {"partition": "learnable"},
    {"partition": "centre"},
    {"partition": "uniform", "merge_at": "before_attention"},
    {"partition": "uniform", "merge_at": "queries"},
    {"partition": "uniform", "attention": "merged"},
    {"partition": "uniform", "match_within": "video"},
    {"reducer": "drop"},
    {"reducer": "frames"},
    {"reducer": "threshold"},
]
TOKENS = torch.randn(2, 8, 4, 4, 16, generator=torch.Generator().manual_seed(0))
MOTION = torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(1))


def same_when_compiled(options, backend, **tolerance):
    torch._dynamo.reset()
    torch.manual_seed(0)
    network = vtm.VideoClassifier(16, 2, (2, 4), classes=3, gamma=3, **options)
    (plain, gradients), (logits, others) = (
        pass_of(each, TOKENS, MOTION) for each in (network, torch.compile(network, backend=backend))
    )
    torch.testing.assert_close(logits, plain, **tolerance)
    torch.testing.assert_close(others, gradients, **tolerance)


@pytest.mark.filterwarnings("ignore")  # torch's own, of graphs that break where a reducer counts
@pytest.mark.parametrize("options", KINDS, ids=str)
def test_traced_forwards_and_backwards(options):
    same_when_compiled(options, "aot_eager", rtol=0, atol=0)


@pytest.mark.skipif(not shutil.which("g++") and not shutil.which("clang++"), reason="needs a compiler of C++")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"partition": "uniform"}, {"partition": "learnable"}], ids=str)
def test_compiled_to_machine_code(options):
    import torch._inductor.config as inductor

    # Inductor draws other random numbers than torch, and so other targets, unless it is told not to.
    with inductor.patch(fallback_random=True):
        same_when_compiled(options, "inductor", rtol=1e-4, atol=1e-5)
