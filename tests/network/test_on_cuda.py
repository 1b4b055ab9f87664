"""The network on a GPU; and what can be said of it without one, where tensors have shapes and no values.

On torch's "meta" device nothing is computed, so whoever asks a tensor for a number there fails. The merging path must
not ask: a GPU would have to wait. So each case runs there in every `make test`, and on CUDA where there is one.
"""

import pytest
import torch
from helpers import random
from torch.utils._python_dispatch import TorchDispatchMode

from vtm_lesson import hosts, reducer
from vtm_lesson.merging import Merge, match
from vtm_lesson.network import VideoClassifier, by_chunks
from vtm_lesson.partition import uniform

SIZE = (6, 4, 4, 16)  # frames, rows, columns, channels; chunks of 2 and 6 frames
NETWORKS = {
    "no merging": {"partition": None},
    "stored scores": {"partition": "random", "attention": "stored"},
    "learnable": {"partition": "learnable"},
    "merged scores": {"partition": "learnable", "attention": "merged", "r": 0.8},
    "merging first": {"partition": "centre", "merge_at": "before_attention"},
    "merged queries": {"partition": "learnable", "merge_at": "queries", "r": 0.8},
    "over the whole video": {"partition": "random", "match_within": "video", "r": 0.5},
    "size-weighted": {"partition": "uniform", "average": "size"},
    "drop": {"reducer": reducer("drop")},
}


class Unread(TorchDispatchMode):
    """Fails where a value is read from the device or copied to it: there a GPU waits."""

    WAIT = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2", "unique_dim")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in self.WAIT, f"{name} reads a value from the device"
        given = [x.device.type for x in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        result = function(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_", "to"):
            left = result.device.type if isinstance(result, torch.Tensor) else "meta"
            assert set(given) <= {left}, f"{name} copies from {given} to {left}"
        return result


@pytest.fixture(params=["meta", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    """A device on which nothing may wait."""
    return request.param


class unread:
    """Nothing in this block waits for the device."""

    def __init__(self, device):
        self.device = device

    def __enter__(self):
        if self.device == "meta":
            self.mode = Unread()
            self.mode.__enter__()
        else:
            torch.cuda.set_sync_debug_mode("error")

    def __exit__(self, *what):
        if self.device == "meta":
            self.mode.__exit__(*what)
        else:
            torch.cuda.set_sync_debug_mode("default")


def made(name, device):
    torch.manual_seed(0)
    return VideoClassifier(SIZE[-1], chunks=(2, 2, 6), gamma=3, classes=5, **NETWORKS[name]).to(device).eval()


def test_the_mode_sees_what_waits():
    x = torch.ones(3, device="meta")
    for wait in (lambda: x.nonzero(), lambda: x + torch.ones(3).to("meta"), lambda: bool(x.sum() > 0)):
        with pytest.raises((AssertionError, RuntimeError, NotImplementedError)), Unread():
            wait()
    with Unread():
        assert (x * 2).to(torch.float64).device.type == "meta"


# Over the whole video each chunk keeps another number of tokens, and only the device knows how many.
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "over the whole video"])
def test_no_forward_pass_waits(name, device):
    model, tokens = made(name, device), random(2, *SIZE).to(device)
    with torch.inference_mode():
        model(tokens)  # tune first
        with unread(device):
            model(tokens)
            by_chunks(model, tokens)


@pytest.mark.parametrize("name", ["learnable", "stored scores", "merging first", "merged queries"])
def test_no_training_step_waits(name, device):
    model, tokens = made(name, device).train(), random(2, *SIZE).to(device)
    model(tokens).sum().backward()
    with unread(device):
        model(tokens).sum().backward()


def test_no_merge_waits(device):
    keys, targets = random(2, 60, 8).to(device), uniform(60, 4, device=device)
    match(keys, targets, 20)(keys)
    with unread(device):
        first = match(keys, targets, 20)
        second = match(first(keys), uniform(first.n_out, 2, device=device, staggered=True))
        first.then(second).unmerge(second(first(keys), weight=first.size()))


def test_no_vit_waits(device):
    import timm

    model = timm.create_model("vit_tiny_patch16_224", depth=3, img_size=64).to(device).eval()
    images = torch.zeros(2, 3, 64, 64, device=device)
    with torch.inference_mode():
        hosts.apply(model, 3)(images)
        with unread(device):
            model(images)


# --- with a GPU only


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["no merging", "merging first", "size-weighted"])  # chance differs by device
def test_the_same_logits_as_on_the_processor(name):
    model, tokens = made(name, "cpu"), random(2, *SIZE)
    with torch.inference_mode():
        expected = model(tokens)
        found = model.cuda()(tokens.cuda()).cpu()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.cuda
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_numbers_in_bfloat16(name):
    model = made(name, "cuda").to(torch.bfloat16).train()
    model(random(2, *SIZE).cuda().bfloat16()).float().square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_averages_of_half_precision_do_not_overflow(dtype):
    merge = Merge(torch.zeros(1, 3000, dtype=torch.int64).cuda(), torch.zeros(1, 1, dtype=torch.int64).cuda())
    assert merge(torch.full((1, 3000, 4), 30.0, dtype=dtype).cuda()).tolist() == [[[30.0] * 4]]


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["merged scores", "merging first", "size-weighted"])
def test_a_network_can_be_recorded_in_a_cuda_graph(name):
    model, tokens = made(name, "cuda"), random(1, *SIZE).cuda()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode():
        with torch.cuda.stream(aside):
            for _ in range(3):
                expected = model(tokens)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = model(tokens)
        graph.replay()
        torch.cuda.synchronize()
    if NETWORKS[name]["partition"] != "learnable":
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert found.isfinite().all()


@pytest.mark.cuda
def test_a_compiled_network_gives_the_same_and_does_not_recompile():
    from torch._dynamo.testing import CompileCounter

    model, counter, compilations = made("size-weighted", "cuda"), CompileCounter(), []
    torch._dynamo.reset()
    compiled = torch.compile(model, backend=counter)
    with torch.inference_mode():
        for seed in range(3):
            tokens = random(1, *SIZE, seed=seed).cuda()
            torch.testing.assert_close(compiled(tokens), model(tokens), atol=1e-4, rtol=1e-4)
            compilations.append(counter.frame_count)
    assert compilations[0] == compilations[-1]


@pytest.mark.cuda
def test_a_quarter_of_a_million_tokens_fit():
    """Matched in one piece: stored scores would fill 35 GiB."""
    keys = torch.randn(1, 262_144, 64, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    merge = match(keys, uniform(262_144, 6, device="cuda"))
    assert torch.cuda.max_memory_allocated() - before < 2**30
    assert merge.n_out == -(-262_144 // 6)
