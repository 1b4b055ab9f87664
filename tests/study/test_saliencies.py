"""Saliency from a few clips' labels finds what tells the label; and a trained decoder is read as it was written."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from vtm_lesson.study.saliencies import Decoder, Learning, basis, decoded, decoder, learn


def clips(n=24, seed=0, dim=8):
    """Noise; in each frame one patch is marked in channel 0 (its label in channel 1), far from the standard scale."""
    generator = torch.Generator().manual_seed(seed)
    tokens, labels = torch.randn(n, 4, 4, 4, dim, generator=generator), torch.arange(n) % 2
    place = torch.randint(16, (n, 4), generator=generator)
    flat = tokens.flatten(2, 3)
    rows, frames = torch.arange(n)[:, None], torch.arange(4)
    flat[rows, frames, place, 0] = 6.0
    flat[rows, frames, place, 1] = 8.0 * labels[:, None] - 4.0
    shown = torch.zeros(n, 4, 16).scatter(2, place[..., None], 1.0)
    return 5 * tokens + 20, labels, shown.flatten(1)


@pytest.mark.parametrize("how", [Learning(), Learning(components=3, frames=0.5, decay=0.1)])
def test_learned_saliency_is_higher_where_the_label_shows(how):
    tokens, labels, _ = clips()
    others, _, there = clips(seed=1)
    score = learn(tokens, labels, 0, how).score(others.flatten(1, 3))
    assert score[there > 0].mean() > score[there == 0].mean() + 0.3


def test_the_standardisation_is_part_of_what_was_learned():
    """Tokens on another scale, learned from and looked at there: the same scores."""
    tokens, labels, _ = clips(8)
    how = Learning(steps=20, batch=4)
    plain = learn(tokens, labels, 0, how).score(tokens.flatten(1, 3))
    moved = learn(3 * tokens - 40, labels, 0, how).score((3 * tokens - 40).flatten(1, 3))
    assert torch.allclose(plain, moved, atol=1e-3) and plain.std() > 0.01


def test_chance_is_tied_to_the_seed_and_nobody_elses_is_disturbed():
    tokens, labels, _ = clips(8)
    how = Learning(steps=5, batch=4, frames=0.5)
    torch.manual_seed(3)
    before = torch.rand(3)
    torch.manual_seed(3)
    first = learn(tokens, labels, 1, how).U
    assert torch.equal(torch.rand(3), before)
    assert torch.equal(first, learn(tokens, labels, 1, how).U)
    assert not torch.equal(first, learn(tokens, labels, 2, how).U)


def test_decay_keeps_saliency_small():
    tokens, labels, _ = clips()
    sizes = [learn(tokens, labels, 0, Learning(decay=decay)).U.norm() for decay in (0.0, 3.0)]
    assert sizes[1] < 0.8 * sizes[0]


def test_principal_components_are_those_of_standardised_channels():
    tokens = torch.randn(4000, 3) * torch.tensor([1.0, 100.0, 1.0])
    tokens[:, 2] = tokens[:, 0]  # after standardising, two of three channels are one
    mean, axes = basis(tokens, 1)
    z = (tokens - mean) @ axes
    assert torch.corrcoef(torch.stack([z[:, 0], tokens[:, 0]]))[0, 1].abs() > 0.99
    mean, axes = basis(tokens)
    assert torch.allclose(((tokens - mean) @ axes).std(0), torch.ones(3), atol=0.15)


def test_a_decoder_is_read_from_its_file(tmp_path):
    torch.manual_seed(0)
    made = Decoder((6, 5, 4)).eval()
    for norm in (made.bn1, made.bn2):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    weights = {name: value.half() for name, value in made.state_dict().items() if "num_batches" not in name}
    save_file(weights, tmp_path / "decoder.safetensors")
    tokens = torch.randn(2, 3, 4, 4, 6)
    maps = decoded(tokens, tmp_path / "decoder.safetensors", progress=False)
    assert maps.shape == (2, 3, 4, 4)
    with torch.no_grad():
        y = tokens[1].permute(0, 3, 1, 2)
        y = F.relu(made.bn1(made.upconv1(y)))
        y = made.final_conv(F.relu(made.bn2(made.upconv2(y))))  # 16 x 16, four pixels of a patch's side
        assert torch.allclose(maps[1], y[:, 0].unflatten(2, (4, 4)).unflatten(1, (4, 4)).mean((2, 4)), atol=2e-2)
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no saliency decoder"):
        decoder(tmp_path / "other.safetensors")
