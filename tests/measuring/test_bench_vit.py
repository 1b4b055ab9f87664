"""ToMe in timm's ViTs, measured: each run computes what its name says, and the table stands beside both bounds."""

import copy
import math

import pytest
import torch

from vtm_lesson.hosts import timm_vit as tome
from vtm_lesson.measuring import bench_vit, clock

# isort: split
from timm.models.vision_transformer import VisionTransformer


@pytest.mark.parametrize("r", [2, 3, 9])
def test_tomes_way_gives_the_logits_of_hosts_in_tomes_order(r):
    torch.manual_seed(r)
    model = VisionTransformer(img_size=32, patch_size=8, depth=4, embed_dim=32, num_heads=2, num_classes=5).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
        images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
        own = bench_vit.tomes_way(model.eval(), images, r)
        for order in ("tome", "time"):
            theirs = tome.apply(copy.deepcopy(model), r, order=order)(images)
            same = order == "tome" or r == 9  # 9: only the targets are left, in any order
            assert torch.allclose(own, theirs, rtol=0, atol=1e-6) == same, "the order changes who meets whom"
        assert (own - model(images)).abs().max() > 1e-2, "merging changes nothing here"


def test_the_row_of_tomes_way_merges_as_much_as_the_others():
    runs, left = bench_vit.vit_runs("vit_tiny_patch16_224", 1, 16)
    seen = []
    handles = [torch.nn.modules.module.register_module_forward_pre_hook(lambda module, args: _note(seen, module, args))]
    runs[bench_vit.TOME]()
    for handle in handles:
        handle.remove()
    assert seen == left


def _note(seen, module, args):
    if type(module).__name__ == "Mlp":
        seen.append(args[0].shape[1])


def test_rows_and_means_stand_beside_both_bounds(monkeypatch):
    def times(runs, rounds, warmup, device, label):
        assert list(runs)[-1] == bench_vit.CUT and bench_vit.TOME in runs
        factor = {bench_vit.CUT: 1.0, bench_vit.TOME: 2.0}
        merged = 1.0 if label.endswith(("r 8", "r 23")) else 4.0
        return {name: [factor.get(name, merged)] * rounds for name in runs}

    monkeypatch.setattr(bench_vit, "vit_runs", lambda name, batch, r, *rest: (dict.fromkeys(NAMES), [5]))
    monkeypatch.setattr(bench_vit, "interleaved", times)
    result = bench_vit.vit(rounds=4)
    assert [(row["model"], row["batch"], row["r"]) for row in result["rows"]] == [
        (name, batch, r) for name, batch, amounts in bench_vit.CPU_MODELS for r in amounts
    ]
    assert result["rows"][1]["merged_over_tome"] == {"median": 2.0, "low": 2.0, "high": 2.0}
    assert math.isclose(result["geometric_means"]["merged_over_cut"], 2.0)
    assert math.isclose(result["geometric_means"]["merged_over_tome"], 1.0)
    text = bench_vit.text(result)
    assert "merged / cut 2.000, merged / ToMe's way 1.000" in text
    assert clock.words(result["rows"][1]["merged_over_tome"]) in text


NAMES = (bench_vit.STORED, bench_vit.FUSED, bench_vit.MERGED, bench_vit.UNMASKED, bench_vit.TOME, bench_vit.CUT)


def test_no_run_has_weights_of_its_own(monkeypatch):
    """None is helped or hurt by where in memory they lie."""
    models, apply = [], bench_vit.hosts.apply
    monkeypatch.setattr(
        bench_vit.hosts, "apply", lambda model, *rest, **how: models.append(model) or apply(model, *rest, **how)
    )
    bench_vit.vit_runs("vit_tiny_patch16_224", 1, 8)
    places = [[weight.data_ptr() for weight in model.parameters()] for model in models]
    assert len(models) == 2 and models[0] is not models[1] and places[0] == places[1]


def test_the_names_above_are_those_of_the_runs():
    assert tuple(bench_vit.vit_runs("vit_tiny_patch16_224", 1, 8)[0]) == NAMES


def test_batches_for_a_processor_are_of_the_same_models():
    assert [(name, amounts) for name, _, amounts in bench_vit.CPU_MODELS] == [
        (name, amounts) for name, _, amounts in bench_vit.MODELS
    ]
    assert [batch for _, batch, _ in bench_vit.CPU_MODELS] == [8, 8, 2, 1]
