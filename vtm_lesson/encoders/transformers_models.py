"""Image models of Hugging Face's Transformers as encoders: CLIP, SigLIP, DINOv2, ViT and others with patch tokens.

Transformers is an extra (pip install transformers). Preprocessing is the model's own, with the numbers of its
preprocessor_config.json: mean, deviation, size, interpolation. It is computed in torch on all frames of a batch; the
library's processor would take them one by one. Only a cut out of the middle is not taken over: frames arrive as
squares here, and the whole square is what the model sees.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from ..hosts import torchvision_repair  # noqa: F401  must come before transformers
from .base import PretrainedEncoder

MODES = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # PIL's numbers; Lanczos and others have no counterpart in torch
FRAMES_AT_ONCE = ("num_frames", "tubelet_size", "frames_per_clip")  # in the configuration of video models


class TransformersEncoder(PretrainedEncoder):
    """An image model of Transformers as an encoder: its last hidden state, class and register tokens left out.

    Parameters
    ----------
    model : nn.Module
        A PreTrainedModel. Its forward takes pixel_values (B, 3, S, S) and gives last_hidden_state (B, N, C), patch
        tokens last.
    processor : object
        The image processor that belongs to it: image_mean, image_std, size, crop_size, resample, rescale_factor.
    name : str
        What it is called.
    size : int, optional
        Pixels of a side of its frames; a multiple of its patches. Default: what the processor gives.

    Notes
    -----
    CLIP's last hidden state is what comes before its final normalisation, as in most uses of its patch tokens.

    Examples
    --------
    >>> import vtm_lesson as vtm
    >>> encoder = vtm.load_encoder("transformers:facebook/dinov2-small")  # doctest: +SKIP
    >>> encoder.size, encoder.patch, encoder.dim  # doctest: +SKIP
    (224, 14, 384)
    """

    model: Any

    def __init__(self, model: Any, processor: Any, name: str, size: int | None = None):
        factor = processor.rescale_factor if processor.do_rescale else 1.0
        # The processor computes (255 x factor - mean) / std, of pixels x from 0 to 1.
        mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ([0.0] * 3, [1.0] * 3)
        scale = 255 * factor
        super().__init__(name, tuple(m / scale for m in mean), tuple(s / scale for s in std))
        self.model, config = model, model.config
        self.dim, self.patch = int(config.hidden_size), _square(config.patch_size, f"{name}: a patch")
        self.size = size or _side(processor, name)
        self.interpolation = MODES.get(int(processor.resample), "bicubic")
        made_for = _square(config.image_size, f"{name}: a frame")
        asks = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        # Some resample their position embedding only when they are told to, others by themselves.
        self.options = {"interpolate_pos_encoding": True} if asks and self.size != made_for else {}

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) float32 from 0 to 1, of the model's own size -> tokens (B, h, w, C)."""
        given = self.model(pixel_values=(pixels - self.mean) / self.std, **self.options).last_hidden_state
        return self._on_grid(given, pixels)


def load(source: str, weights: Path | None = None, size: int | None = None) -> TransformersEncoder:
    """Load an image model by its name or folder; `load_encoder` says what the arguments are."""
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            f'"transformers:{source}" needs Hugging Face\'s Transformers: pip install transformers'
        ) from error
    place = _place(source, weights)

    def had(auto: Any, **options: Any) -> Any:
        try:
            with _quiet(transformers):
                return auto.from_pretrained(place, **options)
        except Exception as error:  # the library raises what its dozens of models and the hub raise
            raise RuntimeError(_cause(source, place, error)) from error

    config = had(transformers.AutoConfig)
    _refuse_video(config, source)
    processor = had(transformers.AutoImageProcessor)
    model, told = had(transformers.AutoModel, config=config, output_loading_info=True)
    model = getattr(model, "vision_model", model).float()  # CLIP and SigLIP: the half that reads no text
    _check_keys(place, model, told)
    for wanted in ("patch_size", "image_size", "hidden_size"):
        if getattr(model.config, wanted, None) is None:
            raise ValueError(f"{source} ({config.model_type}) has no {wanted}: take a ViT, CLIP, SigLIP or DINOv2.")
    return TransformersEncoder(model, processor, source, size)


def _refuse_video(config: Any, source: str) -> None:
    for part in (config, getattr(config, "vision_config", None)):
        if any(getattr(part, name, None) is not None for name in FRAMES_AT_ONCE):
            raise ValueError(
                f"{source} ({config.model_type}) takes several frames at once; an encoder here takes one at a time:"
                " give an image model (ViT, CLIP, SigLIP, DINOv2)."
            )


def _place(source: str, weights: Path | None) -> str:
    """Where the files are: a folder on the disk, or a name on the hub."""
    if not source and weights is None:
        raise ValueError('give a name or a folder behind "transformers:", as in "transformers:facebook/dinov2-small".')
    if weights is not None and not weights.is_dir():
        what = "is a file" if weights.exists() else "is not there"
        raise RuntimeError(
            f"{weights} {what}: Transformers needs a folder with config.json, model.safetensors and more."
        )
    folder = weights or Path(source).expanduser()
    if folder.is_dir():
        return str(folder)
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or folder.exists():
        raise RuntimeError(f"{source} is no folder: give one with config.json, or a name on the Hugging Face hub.")
    return source


def _cause(source: str, place: str, error: Exception) -> str:
    """One sentence in place of the library's paragraphs."""
    said = " ".join(str(error).split()).split(". ")[0][:200]
    if Path(place).is_dir():
        lacks = [name for name in ("config.json", "preprocessor_config.json") if not (Path(place) / name).is_file()]
        if lacks:
            return f"{place} has no {lacks[0]}: it is not what a model's save_pretrained and its processor's make."
        return f"{place} does not load as a model of Transformers ({type(error).__name__}: {said})."
    return (
        f"the weights of {source} could not be had ({type(error).__name__}). With internet they are downloaded once;"
        ' without, give a folder of them, or use load_encoder("patch").'
    )


def _check_keys(place: str, model: Any, told: dict[str, Any]) -> None:
    """Weights that are missing would be random; those of a pooler or of the half that reads text are not used."""
    own = set(model.state_dict())
    missing = sorted(k for k in told["missing_keys"] if k.removeprefix("vision_model.") in own and "pooler" not in k)
    if missing:
        more = f" and {len(missing) - 2} more" if len(missing) > 2 else ""
        raise RuntimeError(f"{place} does not fit its own config.json: it lacks {', '.join(missing[:2])}{more}.")


def _square(value: Any, what: str) -> int:
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(set(sides)) != 1:
        raise ValueError(f"{what} is {sides} pixels; an encoder's are square.")
    return int(sides[0])


def _side(processor: Any, name: str) -> int:
    """Pixels of a side of what the processor hands to the model."""
    cropped = getattr(processor, "do_center_crop", False) and processor.crop_size
    size = processor.crop_size if cropped else processor.size
    sides = [size[key] for key in ("height", "width", "shortest_edge") if size.get(key)]
    if not sides or len(set(sides)) != 1:
        raise ValueError(f"{name}'s processor makes frames of {size}; give size, the pixels of a side.")
    return int(sides[0])


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No bar for reading files and no advice; a download, which is long, keeps the hub's bar."""
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars

    logging = transformers.utils.logging
    bar, level, hub = logging.is_progress_bar_enabled(), logging.get_verbosity(), not are_progress_bars_disabled()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    if hub:
        enable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
