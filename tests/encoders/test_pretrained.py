"""timm's encoders with weights from the disk: the model's own tokens, and one sentence for what is wrong."""

import argparse
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import vtm_lesson as vtm
from vtm_lesson import hosts  # noqa: F401  must come before timm
from vtm_lesson.encoders import TimmEncoder, add_options, base, from_options, load_encoder

# isort: split
import timm

NAME = "test_vit"  # timm's own for tests: 160 pixels, patches of 16, 64 channels
REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
DINO = REAL / "vit_small_patch14_dinov2.fp16.safetensors"


def model(name=NAME, classes=0, seed=1, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(name, pretrained=False, num_classes=classes, **options).eval()


def stored(module, **more):
    return {key: value.contiguous() for key, value in {**module.state_dict(), **more}.items()}


class Program:
    """Runs when it is unpickled: makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def frames():
    return vtm.films.make(3, frames=2, size=160).frames


@pytest.fixture(scope="module")
def wanted(frames):
    """Tokens by timm alone."""
    made = model()
    config = timm.data.resolve_model_data_config(made)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        pixels = (torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 - mean) / std
        return made.forward_features(pixels)[:, made.num_prefix_tokens :].unflatten(1, (10, 10))


@pytest.fixture
def file(tmp_path):
    save_file(stored(model()), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_a_file_gives_the_tokens_of_the_model_that_it_was_stored_from(file, frames, wanted):
    encoder = load_encoder(NAME, weights=file)
    assert (encoder.name, encoder.dim, encoder.patch, encoder.size) == (NAME, 64, 16, 160)
    torch.testing.assert_close(encoder.encode(frames), wanted, rtol=1e-5, atol=1e-5)
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())
    assert not encoder.model.pretrained_cfg.get("state_dict")  # not kept a second time


def test_a_head_in_the_file_is_left_aside_and_half_precision_becomes_full(tmp_path, frames, wanted):
    with_head = {**stored(model(classes=5, seed=9)), **stored(model())}
    assert "head.weight" in with_head
    save_file({key: value.half() for key, value in with_head.items()}, tmp_path / "half.safetensors")
    encoder = load_encoder(NAME, weights=tmp_path / "half.safetensors")
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    torch.testing.assert_close(encoder.encode(frames), wanted, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "epoch": 3}])
def test_a_pth_file_is_read_and_one_with_a_program_in_it_is_not(tmp_path, frames, wanted, wrap):
    torch.save(wrap(stored(model())), tmp_path / "weights.pth")
    torch.testing.assert_close(load_encoder(NAME, weights=tmp_path / "weights.pth").encode(frames), wanted)
    torch.save({**stored(model()), "program": Program(tmp_path / "ran")}, tmp_path / "pickle.pth")
    with pytest.raises(RuntimeError, match=r"pickle\.pth cannot be read as weights .*nothing but tensors"):
        load_encoder(NAME, weights=tmp_path / "pickle.pth")
    assert not (tmp_path / "ran").exists()


def test_a_folder_gives_weights_and_their_preprocessing(tmp_path, file, frames):
    (tmp_path / "folder").mkdir()
    file.rename(tmp_path / "folder" / "model.safetensors")
    own = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear", "num_classes": 7}
    config = tmp_path / "folder" / "config.json"
    config.write_text(json.dumps({"architecture": NAME, "pretrained_cfg": own}), encoding="utf-8")
    encoder = load_encoder(NAME, weights=tmp_path / "folder")
    assert encoder.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert encoder.std.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6]) and encoder.interpolation == "bilinear"
    pixels = (torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 - encoder.mean) / encoder.std
    with torch.no_grad():
        made = model()
        want = made.forward_features(pixels)[:, made.num_prefix_tokens :].unflatten(1, (10, 10))
    torch.testing.assert_close(encoder.encode(frames), want, rtol=1e-5, atol=1e-5)
    config.write_text(json.dumps({"architecture": "resnet18"}), encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"config\.json is of resnet18, not of test_vit: ask for resnet18"):
        load_encoder(NAME, weights=tmp_path / "folder")
    config.write_text("[]", encoding="utf-8")
    with pytest.raises(RuntimeError, match="should name an architecture"):
        load_encoder(NAME, weights=tmp_path / "folder")


def test_what_lies_on_the_hub_is_found_in_hf_home_without_internet(tmp_path):
    """As huggingface_hub lays its cache out; in another process, as it reads HF_HOME when it is imported."""
    repository = timm.get_pretrained_cfg(NAME).hf_hub_id
    folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    weights = stored(model(classes=1000))
    save_file(weights, folder / "snapshots" / ("0" * 40) / "model.safetensors")
    asks = (
        "from vtm_lesson import load_encoder; import sys;"
        f"sys.stdout.write(str(load_encoder({NAME!r}).state_dict()['model.cls_token'].sum().item()))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", asks], env=environment, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(weights["cls_token"].sum().item())
    assert not done.stderr


# ---- what does not fit ----


def test_what_does_not_fit_is_named_by_its_first_keys(tmp_path, file):
    def refused(state, words, name=NAME):
        save_file(state, tmp_path / "wrong.safetensors")
        with pytest.raises(RuntimeError, match=words) as raised:
            load_encoder(name, weights=tmp_path / "wrong.safetensors")
        assert "wrong.safetensors does not fit" in str(raised.value) and str(raised.value).count("\n") == 0
        assert len(str(raised.value)) < 500

    whole = stored(model())
    without = {key: value for key, value in whole.items() if not key.startswith("blocks.2.")}
    refused(without, r"it lacks blocks\.2\.norm1\.weight, .* and \d+ more")
    extra = {**whole, "blocks.99.norm1.weight": torch.ones(64)}
    refused(extra, r"it has blocks\.99\.norm1\.weight, which the model has not")
    narrow = {**whole, "norm.weight": torch.ones(32)}
    refused(narrow, r"norm\.weight has shape \[32\] in the file and \[64\] in the model")
    refused(stored(model("test_resnet")), r"it lacks cls_token, pos_embed and \d+ more")
    coarse = {**whole, "patch_embed.proj.weight": torch.ones(64, 3, 8, 8)}
    refused(coarse, r"its patches are 8 pixels, the model's 16")


def test_what_is_no_file_of_weights_gets_one_sentence(tmp_path, file):
    with pytest.raises(RuntimeError, match=r"gone\.safetensors is not there: give a file of weights of test_vit"):
        load_encoder(NAME, weights=tmp_path / "gone.safetensors")
    (tmp_path / "film.mp4").touch()
    with pytest.raises(RuntimeError, match=r"film\.mp4 is no file of weights: give one that ends in \.safetensors"):
        load_encoder(NAME, weights=tmp_path / "film.mp4")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RuntimeError, match=r"cut\.safetensors cannot be read as weights"):
        load_encoder(NAME, weights=tmp_path / "cut.safetensors")
    with pytest.raises(RuntimeError, match=r"should hold one file of weights .* there: cut\.safetensors, weights\.saf"):
        load_encoder(NAME, weights=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuntimeError, match="there: none"):
        load_encoder(NAME, weights=tmp_path / "empty")
    with pytest.raises(ValueError, match='leave out either "random:" or the weights'):
        load_encoder(f"random:{NAME}", weights=file)


def test_weights_of_the_patch_encoder_from_a_file(tmp_path, file, frames):
    own = vtm.data_path("weights/patch.safetensors")
    assert (load_encoder("patch", weights=own).encode(frames) == load_encoder("patch").encode(frames)).all()
    with pytest.raises(RuntimeError, match="holds no weights of the patch encoder"):
        load_encoder("patch", weights=file)
    with pytest.raises(RuntimeError, match=r"gone is not there; make it"):
        load_encoder("patch", weights=tmp_path / "gone")


# ---- sizes and preprocessing ----


def test_another_size_resamples_the_position_embedding(file, frames):
    encoder = load_encoder(NAME, weights=file, size=96)
    assert encoder.encode(frames).shape == (2, 6, 6, 64) and encoder.size == 96
    assert encoder.model.patch_embed.grid_size == (6, 6)  # stored like that: not resampled for every frame
    flexible = model(dynamic_img_size=True)
    pixels = base.resized(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255, (96, 96), encoder.interpolation)
    with torch.no_grad():
        want = flexible.forward_features((pixels - encoder.mean) / encoder.std)[:, flexible.num_prefix_tokens :]
    torch.testing.assert_close(encoder.encode(frames).flatten(1, 2), want, rtol=1e-4, atol=1e-4)


def test_sizes_that_cannot_be_are_refused(file):
    with pytest.raises(ValueError, match=r"size is 100; test_vit has patches of 16 pixels: give 96 or 112"):
        load_encoder(NAME, weights=file, size=100)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"size is 8; .*: give 16\."):
        load_encoder(f"random:{NAME}", size=8)
    with pytest.raises(ValueError, match="at least 1"):
        load_encoder(NAME, weights=file, size=0)
    with pytest.raises(ValueError, match="leave size out"):
        load_encoder("patch", size=64)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "swin_tiny_patch4_window7_224"])
def test_the_side_of_a_token_is_that_of_the_grid(name, frames):
    encoder = TimmEncoder(model(name), name)
    assert encoder.size // encoder.patch == encoder.encode(frames[:1]).shape[1]


@pytest.mark.parametrize("patch", [8, 32])
def test_tokens_that_are_not_one_for_each_patch_are_refused(frames, patch):
    encoder = TimmEncoder(model(), NAME)
    encoder.patch = patch
    with pytest.raises(ValueError, match=rf"gives \(\d+, 64\) .* each of {160 // patch} x {160 // patch} patches"):
        encoder.encode(frames)


def test_networks_without_a_position_embedding_take_another_size(frames):
    with pytest.warns(UserWarning, match="random weights"):
        encoder = load_encoder("random:test_resnet", size=96)
    assert encoder.encode(frames).shape == (2, 3, 3, encoder.dim) and encoder.name == "random:test_resnet"


@pytest.mark.parametrize(
    ("mode", "pil"), [("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)]
)
@pytest.mark.parametrize("side", [96, 224])
def test_frames_are_resized_as_pillow_does(frames, mode, pil, side):
    made = base.resized(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255, (side, side), mode).permute(0, 2, 3, 1)
    want = np.stack([np.asarray(Image.fromarray(frame).resize((side, side), pil)) for frame in frames])
    # Pillow rounds and clips after rows, and again after columns: that shows at sharp edges.
    apart = np.abs(255 * made.numpy() - want)
    assert apart.mean() < 0.4 and np.quantile(apart, 0.999) < 1.5 and apart.max() < 6
    assert made.min() >= 0 and made.max() <= 1


def test_interpolation_is_the_models_own(frames):
    kinds = {}
    for mode in ("bilinear", "bicubic"):
        made = model()
        made.pretrained_cfg = {**made.pretrained_cfg, "interpolation": mode}
        encoder = TimmEncoder(made, NAME)
        assert encoder.interpolation == mode
        kinds[mode] = encoder.encode(frames[:, ::2, ::2])
    assert not torch.equal(*kinds.values())


def test_preprocessing_tells_encoders_apart():
    plain, other = TimmEncoder(model(), NAME).state_dict(), model()
    other.pretrained_cfg = {**other.pretrained_cfg, "mean": (0.1, 0.2, 0.3)}
    assert not torch.equal(plain["mean"], TimmEncoder(other, NAME).state_dict()["mean"])


# ---- commands, other libraries, real weights ----


def test_options_of_commands(file, frames, capsys):
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert from_options(parser.parse_args([])).name == "patch"
    given = parser.parse_args(["--encoder", NAME, "--weights", str(file), "--encoder-size", "96"])
    encoder = from_options(given)
    assert (encoder.name, encoder.size) == (NAME, 96)
    assert (encoder.encode(frames) == load_encoder(NAME, weights=file, size=96).encode(frames)).all()


def test_nothing_is_said_while_weights_are_loaded(file, capfd, caplog):
    with caplog.at_level(logging.WARNING):
        load_encoder(NAME, weights=file, size=96)
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_without_transformers_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"transformers:facebook/dinov2-small.*pip install transformers"):
        load_encoder("transformers:facebook/dinov2-small")


@pytest.mark.skipif(not DINO.is_file(), reason="shared/real is not here: weights that are not the project's")
def test_real_weights_know_a_place_again_in_the_next_frame():
    """Nearest in tokens is near in the frame (chance: 0.1); 37 x 37 stored places became 16 x 16."""
    encoder = load_encoder("vit_small_patch14_dinov2", weights=DINO, size=224)
    clip = vtm.read_video(vtm.films.sample("square"), frames=30, size=224, progress=False)
    tokens = encoder.encode(clip.frames[:2])
    assert tokens.shape == (2, 16, 16, 384) and tokens.isfinite().all()
    first, second = torch.nn.functional.normalize(tokens.flatten(1, 2), dim=-1)
    nearest = (first @ second.T).argmax(1)
    here = torch.arange(256)
    near = ((nearest // 16 - here // 16).abs() <= 2) & ((nearest % 16 - here % 16).abs() <= 2)
    assert near.float().mean() > 0.6
    assert load_file(DINO)["pos_embed"].shape == (1, 1 + 37 * 37, 384)
    assert encoder.model.pos_embed.shape == (1, 1 + 16 * 16, 384)
