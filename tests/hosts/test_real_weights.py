"""Trained weights, where they are: timm and transformers merge the same tokens of the same network."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import vtm_lesson as vtm
from vtm_lesson import hosts

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "real" / "vit_small_patch14_dinov2.fp16.safetensors"


@pytest.mark.skipif(not REAL.exists(), reason="the real weights, ../shared/real, are not here")
def test_timm_and_transformers_merge_alike_with_trained_weights():
    from dinov2_in_both import pair  # or skipped, without transformers

    weights = {name: value.float() for name, value in load_file(REAL).items()}
    ours, theirs = pair(weights)
    film = vtm.films.make(0, frames=2, size=224, patch=14)
    images = torch.as_tensor(film.frames[:1]).permute(0, 3, 1, 2).float() / 255
    images = (images - 0.45) / 0.225
    with torch.no_grad():
        # The two resize position embeddings each in its own way: give both the same number of patches, unresized.
        images = F.interpolate(images, size=(518, 518), mode="bilinear")
        plain = theirs(images).pooler_output
        torch.testing.assert_close(ours.forward_features(images)[:, 0], plain, rtol=1e-3, atol=1e-3)
        merged = [hosts.apply(ours, 100).forward_features(images)[:, 0], hosts.apply(theirs, 100)(images).pooler_output]
    assert ours.merges.n_out == theirs.merges.n_out == 1370 - 12 * 100
    assert F.cosine_similarity(*merged).min() > 0.999  # near ties may fall differently
    assert 0.5 < F.cosine_similarity(merged[1], plain).min() < 0.9999
