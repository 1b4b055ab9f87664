"""Image models of Transformers as encoders: small random ones, stored in a folder with `save_pretrained`."""

import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import vtm_lesson as vtm
from vtm_lesson.encoders import load_encoder
from vtm_lesson.encoders.base import resized
from vtm_lesson.hosts import torchvision_repair  # noqa: F401  must come before transformers

transformers = pytest.importorskip("transformers", reason="transformers is missing: make test-all installs it")

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
FRAME = {"image_size": 32, "patch_size": 8}
TEXT = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, **SMALL}
SQUARE = {"height": 32, "width": 32}


def vit():
    return transformers.ViTModel(transformers.ViTConfig(**FRAME, **SMALL)), transformers.ViTImageProcessor(size=SQUARE)


def dinov2(registers=0):
    kind = "Dinov2WithRegisters" if registers else "Dinov2"
    more = {"num_register_tokens": registers} if registers else {}
    config = getattr(transformers, f"{kind}Config")(image_size=56, patch_size=14, **more, **SMALL)
    processor = transformers.BitImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    return getattr(transformers, f"{kind}Model")(config), processor


def clip():
    config = transformers.CLIPConfig(vision_config={**FRAME, **SMALL}, text_config=TEXT)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
    return transformers.CLIPModel(config), processor


def siglip():
    config = transformers.SiglipConfig(vision_config={**FRAME, **SMALL}, text_config=TEXT)
    return transformers.SiglipModel(config), transformers.SiglipImageProcessor(size=SQUARE)


# Name -> how it is made, and the tokens before those of the patches.
MODELS = {
    "vit": (vit, 1),
    "dinov2": (dinov2, 1),
    "registers": (lambda: dinov2(4), 5),
    "clip": (clip, 1),
    "siglip": (siglip, 0),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Make a model once -> its folder, the model, its processor."""
    home, made = tmp_path_factory.mktemp("models"), {}

    def of(name):
        if name not in made:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model, processor = MODELS[name][0]()
            model.save_pretrained(home / name)
            processor.save_pretrained(home / name)
            made[name] = home / name, getattr(model, "vision_model", model).eval(), processor
        return made[name]

    return of


@pytest.fixture(scope="module")
def frames():
    return vtm.films.make(3, frames=3, size=64).frames


@pytest.mark.parametrize("name", MODELS)
def test_tokens_are_the_patches_of_the_last_hidden_state(name, stored, frames):
    folder, model, _ = stored(name)
    encoder = load_encoder(f"transformers:{folder}")
    tokens = encoder.encode(frames)
    side = encoder.size // encoder.patch
    assert tokens.shape == (3, side, side, 32) and encoder.dim == 32 and tokens.dtype == torch.float32
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())
    pixels = resized(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255, (encoder.size,) * 2, encoder.interpolation)
    with torch.no_grad():
        want = model(pixel_values=(pixels - encoder.mean) / encoder.std).last_hidden_state
    before = MODELS[name][1]
    assert want.shape[1] == before + side * side
    torch.testing.assert_close(tokens.flatten(1, 2), want[:, before:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_preprocessing_is_that_of_the_models_own_processor(name, stored, frames):
    """To 0.4 of 255 grey levels: the processor rounds and clips after rows, and again after columns."""
    folder, _, processor = stored(name)
    encoder = load_encoder(f"transformers:{folder}")
    want = processor(images=list(frames), return_tensors="pt")["pixel_values"]
    pixels = resized(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255, (encoder.size,) * 2, encoder.interpolation)
    made = (pixels - encoder.mean) / encoder.std
    assert made.shape == want.shape
    apart = (255 * encoder.std * (made - want)).abs()
    assert apart.mean() < 0.4 and apart.max() < 6


def test_numbers_of_another_configuration_are_taken_over(tmp_path, stored, frames):
    _, model, _ = stored("vit")
    own = transformers.ViTImageProcessor(
        size={"height": 16, "width": 16}, resample=3, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6],
        rescale_factor=1 / 127.5,
    )  # fmt: skip
    model.save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    encoder = load_encoder(f"transformers:{tmp_path}")
    assert (encoder.size, encoder.interpolation) == (16, "bicubic")
    want = own(images=list(frames), return_tensors="pt")["pixel_values"]
    pixels = resized(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255, (16, 16), "bicubic")
    apart = (255 * encoder.std * ((pixels - encoder.mean) / encoder.std - want)).abs()
    assert apart.mean() < 0.4 and apart.max() < 6
    assert encoder.encode(frames).shape == (3, 2, 2, 32)  # the position embedding was resampled


@pytest.mark.parametrize("name", MODELS)
def test_another_size(name, stored, frames):
    folder, _, _ = stored(name)
    encoder = load_encoder(f"transformers:{folder}", size=8 * 14)
    side = 8 * 14 // encoder.patch
    assert encoder.encode(frames).shape == (3, side, side, 32)
    with pytest.raises(ValueError, match=f"has patches of {encoder.patch} pixels"):
        load_encoder(f"transformers:{folder}", size=8 * 14 + 1)


def test_weights_name_the_folder_of_a_model(stored, frames):
    folder, _, _ = stored("dinov2")
    encoder = load_encoder("transformers:facebook/dinov2-small", weights=folder)
    assert encoder.name == "transformers:facebook/dinov2-small"
    assert (encoder.encode(frames) == load_encoder(f"transformers:{folder}").encode(frames)).all()
    with pytest.raises(RuntimeError, match=r"model\.safetensors is a file: Transformers needs a folder"):
        load_encoder("transformers:facebook/dinov2-small", weights=folder / "model.safetensors")


def test_a_name_is_found_in_hf_home_without_internet(tmp_path, stored):
    """As huggingface_hub lays its cache out; in another process, as it reads HF_HOME when it is imported."""
    folder, _, _ = stored("vit")
    home = tmp_path / "hub" / "models--nobody--small"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    shutil.copytree(folder, home / "snapshots" / ("0" * 40))
    asks = "from vtm_lesson import load_encoder; print(load_encoder('transformers:nobody/small').extra_repr())"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", asks], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "transformers:nobody/small, 32 pixels, patch 8, 32 channels\n" and not done.stderr


def test_half_precision_on_the_disk_becomes_full(tmp_path, stored, frames):
    _, model, processor = stored("vit")
    half = transformers.ViTModel(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    encoder = load_encoder(f"transformers:{tmp_path}")
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    assert encoder.encode(frames).isfinite().all()


def test_nothing_is_said_and_nothing_is_changed(stored, capfd, caplog):
    folder, _, _ = stored("clip")
    said = transformers.utils.logging
    before = said.get_verbosity(), said.is_progress_bar_enabled()
    capfd.readouterr()
    with caplog.at_level(logging.WARNING):
        load_encoder(f"transformers:{folder}")
    assert capfd.readouterr() == ("", "") and not caplog.records
    assert (said.get_verbosity(), said.is_progress_bar_enabled()) == before


# ---- what does not fit ----


def test_models_without_a_token_for_each_patch_of_a_frame_are_refused(tmp_path, frames):
    video = transformers.VideoMAEModel(transformers.VideoMAEConfig(**FRAME, num_frames=4, **SMALL))
    video.save_pretrained(tmp_path / "video")
    with pytest.raises(ValueError, match="takes several frames at once"):
        load_encoder(f"transformers:{tmp_path / 'video'}")
    masked = transformers.ViTMAEModel(transformers.ViTMAEConfig(**FRAME, **SMALL))
    masked.save_pretrained(tmp_path / "masked")
    transformers.ViTImageProcessor(size=SQUARE).save_pretrained(tmp_path / "masked")
    with pytest.raises(ValueError, match=r"gives \(5, 32\) for a frame, and not a token for each of 4 x 4 patches"):
        load_encoder(f"transformers:{tmp_path / 'masked'}").encode(frames)


def test_what_is_missing_in_a_folder_is_named(tmp_path, stored):
    def refused(words):
        with pytest.raises(RuntimeError, match=words) as raised:
            load_encoder(f"transformers:{tmp_path}")
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 500

    _, model, processor = stored("vit")
    refused(r"has no config\.json")
    model.save_pretrained(tmp_path)
    refused(r"has no preprocessor_config\.json")
    processor.save_pretrained(tmp_path)
    load_encoder(f"transformers:{tmp_path}")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused("does not load as a model of Transformers")
    (tmp_path / "model.safetensors").unlink()
    refused("does not load as a model of Transformers")


def test_weights_that_would_be_random_are_refused(tmp_path, stored):
    _, model, processor = stored("vit")
    fewer = transformers.ViTModel(transformers.ViTConfig(**FRAME, **{**SMALL, "num_hidden_layers": 1}))
    fewer.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)  # says two layers
    with pytest.raises(RuntimeError, match=r"does not fit its own config\.json: it lacks .*layer.* and \d+ more"):
        load_encoder(f"transformers:{tmp_path}")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RuntimeError, match="is no folder: give one with config"):
        load_encoder(f"transformers:{tmp_path / 'gone'}")
    with pytest.raises(RuntimeError, match="is not there: Transformers needs a folder"):
        load_encoder("transformers:facebook/dinov2-small", weights=tmp_path / "gone")
    with pytest.raises(ValueError, match='a name or a folder behind "transformers:"'):
        load_encoder("transformers:")


def test_a_name_of_the_hub_without_internet(monkeypatch):
    def offline(*_, **__):
        raise OSError("We couldn't connect to the hub.\nSee the documentation.")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    with pytest.raises(RuntimeError, match=r"weights of nobody/nothing could not be had \(OSError\).*give a folder"):
        load_encoder("transformers:nobody/nothing")


def test_frames_are_checked(stored):
    encoder = load_encoder(f"transformers:{stored('vit')[0]}")
    with pytest.raises(ValueError, match="uint8"):
        encoder.encode(np.zeros((2, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match=r"this encoder gives \(4, 4\): leave grid out"):
        encoder.encode(np.zeros((2, 32, 32, 3), np.uint8), grid=(5, 5))
