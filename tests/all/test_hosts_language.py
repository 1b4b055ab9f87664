"""Fewer video tokens in small random language models of transformers: nothing changes without reduction, and with it
the models compute what they compute on the whole sequence with the dropped tokens hidden."""

import pytest
import torch

from vtm_lesson import hosts  # before transformers
from vtm_lesson.merging.registry import reducer

T = pytest.importorskip("transformers", reason="transformers is missing: make test-all installs it")

TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "vocab_size": 60, "max_position_embeddings": 512,
}  # fmt: skip
VIDEO, IMAGE, START, END = 59, 58, 57, 56
BEFORE, AFTER = [3, 4, START], [END, 5, 6, 7, 8]


def qwen(version):
    heads = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    if version == "2":
        vision, kinds = (
            {"embed_dim": 16, "hidden_size": 32, **heads},
            (T.Qwen2VLConfig, T.Qwen2VLForConditionalGeneration),
        )
    else:
        vision = {
            "hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24, "window_size": 16,
            "fullatt_block_indexes": [1], "tokens_per_second": 2, **heads,
        }  # fmt: skip
        kinds = (T.Qwen2_5_VLConfig, T.Qwen2_5_VLForConditionalGeneration)
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    ids = {"video_token_id": VIDEO, "image_token_id": IMAGE, "vision_start_token_id": START, "vision_end_token_id": END}
    torch.manual_seed(0)
    config = kinds[0](text_config={**TEXT, "rope_parameters": rope}, vision_config=vision, **ids)
    return kinds[1](config).eval()


class Qwen:
    """A Qwen-VL with a film of 4 steps of 4 x 6 patches, 2 x 3 tokens each, and a question after it."""

    grid = (4, 2, 3)

    def __init__(self, version, batch=1):
        self.model = qwen(version)
        self.ids = torch.tensor([[*BEFORE, *[VIDEO] * 24, *AFTER]] * batch)
        self.is_video = self.ids == VIDEO
        generator = torch.Generator().manual_seed(1)
        self.inputs = {
            "input_ids": self.ids,
            "attention_mask": torch.ones_like(self.ids),
            "pixel_values_videos": torch.randn(batch * 96, 3 * 2 * 4 * 4, generator=generator),
            "video_grid_thw": torch.tensor([[4, 4, 6]] * batch),
            "mm_token_type_ids": 2 * self.is_video.int(),
        }

    def whole(self):
        """The embeddings of the whole sequence, and its position ids."""
        inner = self.model.model
        film = inner.get_video_features(self.inputs["pixel_values_videos"], self.inputs["video_grid_thw"])
        embeds = self.model.get_input_embeddings()(self.ids)
        embeds = embeds.masked_scatter(self.is_video[..., None], torch.cat(film.pooler_output))
        taken = ("input_ids", "mm_token_type_ids", "video_grid_thw", "attention_mask")
        return embeds, inner.get_rope_index(**{name: self.inputs[name] for name in taken})[0]


class OneVision:
    """A LLaVA-OneVision with a film of 4 frames of 4 x 4 patches, 2 x 2 tokens each, and its newline token."""

    grid = (4, 2, 2)

    def __init__(self, batch=1):
        vision = T.SiglipVisionConfig(
            hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=16,
            patch_size=4, vision_use_head=False,
        )  # fmt: skip
        torch.manual_seed(0)
        config = T.LlavaOnevisionConfig(
            vision_config=vision, text_config=T.Qwen2Config(**TEXT), video_token_index=VIDEO, image_token_index=IMAGE,
            vision_feature_layer=-1, image_grid_pinpoints=[[16, 16]],
        )  # fmt: skip
        self.model = T.LlavaOnevisionForConditionalGeneration(config).eval()
        self.ids = torch.tensor([[*BEFORE, *[VIDEO] * 17, *AFTER]] * batch)
        self.is_video = self.ids == VIDEO
        self.is_video[:, len(BEFORE) + 16] = False  # the newline
        pixels = torch.randn(batch, 4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        self.inputs = {"input_ids": self.ids, "pixel_values_videos": pixels}

    def whole(self):
        film = self.model.model.get_video_features(
            self.inputs["pixel_values_videos"], vision_feature_layer=-1, vision_feature_select_strategy="full"
        )
        embeds = self.model.get_input_embeddings()(self.ids)
        placed = embeds.masked_scatter((self.ids == VIDEO)[..., None], film.pooler_output)
        return placed, torch.arange(self.ids.shape[1]).expand_as(self.ids)


HOSTS = {
    "Qwen2-VL": lambda **k: Qwen("2", **k),
    "Qwen2.5-VL": lambda **k: Qwen("2.5", **k),
    "LLaVA-OneVision": OneVision,
}


@pytest.fixture(params=HOSTS)
def make(request):
    return HOSTS[request.param]


def shortened(host, plug, gamma=3.0, **known):
    embeds, positions = host.whole()
    film = embeds[host.is_video].view(len(embeds), -1, embeds.shape[-1])
    merge = hosts.reduce_video_tokens(film, host.grid, plug, gamma=gamma, **known).merge
    return merge, hosts.shorten(embeds, host.is_video, merge, position_ids=positions)


def logits_of(model, short, **options):
    """As a user gives the shortened sequence to the model."""
    given = {"inputs_embeds": short.inputs_embeds, "position_ids": short.position_ids}
    return model(**given, attention_mask=short.attention_mask, **options)


@torch.no_grad()
def test_no_reduction_changes_no_logit(make):
    host = make(batch=2)
    plain = host.model(**host.inputs).logits
    for plug, gamma in ((None, 3.0), ("uniform", 1.0)):
        merge, short = shortened(host, plug, gamma)
        assert merge.is_identity
        torch.testing.assert_close(logits_of(host.model, short).logits, plain, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_dropping_is_the_whole_sequence_with_tokens_hidden(make, batch):
    """Which it can be only with every survivor's own position ids, and the answer's."""
    host = make(batch=batch)
    embeds, positions = host.whole()
    generator = torch.Generator().manual_seed(3)
    merge, short = shortened(host, "drop", generator=generator)
    n = merge.n_in
    hidden = torch.ones_like(host.ids)
    hidden[host.is_video] = (~merge.dropped).flatten().long()
    whole = host.model(inputs_embeds=embeds, attention_mask=hidden, position_ids=positions).logits
    plain = host.model(**host.inputs).logits
    got = logits_of(host.model, short).logits
    assert got.shape[1] == plain.shape[1] - n + merge.n_out and merge.n_out == -(-n // 3)
    expected = whole.gather(1, short.keep[..., None].expand_as(got))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    answers = [logits[:, -1] for logits in (got, plain)]
    assert (answers[0] - answers[1]).abs().max() > 1e-4
    # With places counted anew, as if the others had never been, it is another answer.
    counted = short._replace(position_ids=torch.arange(got.shape[1]).expand_as(short.position_ids))
    assert (logits_of(host.model, counted).logits[:, -1] - answers[0]).abs().max() > 1e-5


@torch.no_grad()
def test_the_answer_begins_where_it_would(make):
    """Token by token on a cache, from next_position on: as the shortened sequence and the answer in one pass."""
    host = make()
    merge, short = shortened(host, "uniform")
    assert 1 < merge.n_out < merge.n_in
    _, positions = host.whole()
    assert short.next_position.tolist() == [int(positions.max()) + 1]
    before = logits_of(host.model, short, use_cache=True)
    words, given, steps = torch.tensor([[11, 12, 13]]), short, []
    for i in range(3):
        one = host.model.get_input_embeddings()(words[:, i : i + 1])
        place = (short.next_position + i).expand(*short.position_ids.shape[:-1], 1)
        mask = torch.cat([given.attention_mask, torch.ones_like(words[:, :1])], 1)
        given = given._replace(
            inputs_embeds=torch.cat([given.inputs_embeds, one], 1),
            position_ids=torch.cat([given.position_ids, place], -1),
            attention_mask=mask,
        )
        before = host.model(inputs_embeds=one, position_ids=place, attention_mask=mask, cache=before.cache)
        steps.append(before.logits[:, -1])
    at_once = logits_of(host.model, given).logits[:, -3:]
    torch.testing.assert_close(torch.stack(steps, 1), at_once, rtol=1e-4, atol=1e-5)
    # On the whole sequence, the model itself puts the answer's first token there.
    if isinstance(host, Qwen):
        inner = host.model.model
        host.model(**host.inputs)
        assert int(inner.rope_deltas) == int(short.next_position) - host.ids.shape[1]


@torch.no_grad()
@pytest.mark.parametrize("version", ["2", "2.5"])
def test_qwens_position_ids_are_those_of_time_and_place(version):
    host = Qwen(version)
    merge, short = shortened(host, reducer("drop", signal="motion"), motion=torch.arange(24.0)[None])
    places, t = host.is_video.nonzero()[:, 1], 2 if version == "2.5" else 1  # tokens a second
    kept = merge.keep[0]
    film = torch.stack([kept // 6 * t, kept % 6 // 3, kept % 3]) + len(BEFORE)
    inside = torch.isin(short.keep[0], places)
    assert torch.equal(short.position_ids[:, 0, inside], film)
    text = short.position_ids[:, 0, ~inside]
    assert (text == text[0]).all() and text[0, :3].tolist() == [0, 1, 2]
    _, positions = host.whole()
    assert torch.equal(text[:, 3:], positions[:, 0, -len(AFTER) :])


@torch.no_grad()
def test_films_that_keep_different_numbers_are_padded_and_masked(make):
    host = make(batch=2)
    first, _ = host.inputs["pixel_values_videos"].chunk(2)
    first[:] = 0.01 * first[:1]  # a film that is flat
    plug = reducer("threshold", above=0.95)
    merge, short = shortened(host, plug)
    assert merge.count is not None and short.attention_mask.sum(1).tolist() == [
        int(count) + host.ids.shape[1] - merge.n_in for count in merge.count
    ]
    both = logits_of(host.model, short).logits
    embeds, positions = host.whole()
    for i in range(2):
        film = embeds[i][host.is_video[i]][None]
        alone = hosts.reduce_video_tokens(film, host.grid, plug, gamma=3.0).merge
        one = hosts.shorten(
            embeds[i : i + 1], host.is_video[i : i + 1], alone, position_ids=positions[..., i : i + 1, :]
        )
        n = one.inputs_embeds.shape[1]
        torch.testing.assert_close(logits_of(host.model, one).logits[0], both[i, :n], rtol=1e-4, atol=1e-5)
