"""Training: the recipe against torch's own optimiser, resuming bit for bit, two processes against one."""

import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vtm_lesson.network import denormals
from vtm_lesson.training.loop import Items, Recipe, evaluate, fit, schedule, split

ROOT = Path(__file__).parents[2]
QUIET = {"progress": False, "device": "cpu"}


def toy(n=60, seed=0):
    """Tokens (n, 6, 5); the label is which of 3 directions the mean token points in most."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(n, 6, 5, generator=generator)
    return Items(tokens=tokens.half(), label=tokens.mean(1)[:, :3].argmax(1))


class Pooled(nn.Module):
    def __init__(self, seed=0, dropout=0.0):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 3))
        self.unused = nn.Parameter(torch.ones(2))  # like a score head whose auxiliary path does not run

    def forward(self, tokens):
        return self.body(tokens).mean(1)


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_it_learns_and_keeps_the_best_epoch(tmp_path):
    data, valid = toy(200), toy(80, seed=1)
    model, seen = Pooled(), []
    recipe = Recipe(epochs=12, warmup=1, lr=1e-2)
    run = fit(model, data, valid, recipe, folder=tmp_path, after_epoch=lambda m, r: seen.append(dict(r)), **QUIET)
    assert len(run.history) == len(seen) == 12 and run.step == 12 * math.ceil(200 / 16)
    losses = [record["valid_loss"] for record in run.history]
    assert run.best == min(range(12), key=losses.__getitem__)
    again = evaluate(model, valid)
    assert again.loss == pytest.approx(losses[run.best], rel=1e-6)
    assert again.accuracy > 0.8
    assert again.accuracy == pytest.approx(float((again.outputs.argmax(1) == valid.columns["label"]).float().mean()))
    same(load_file(tmp_path / "best.safetensors"), model.state_dict())


def test_steps_are_those_of_a_plain_loop():
    """One epoch, written out with torch's AdamW and a batch of all items, so that order plays no part."""
    data, mine, theirs = toy(16), Pooled(), Pooled()
    recipe = Recipe(epochs=4, warmup=2, lr=3e-2, batch=16, weight_decay=0.1)
    fit(mine, data, None, recipe, **QUIET)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1, weight_decay=0.1)
    for factor in (0.5, 1, 1, 0.5):  # half, full; then the cosine over two steps starts at 1 and passes 1/2
        optimizer.param_groups[0]["lr"] = 3e-2 * factor
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(theirs(data.columns["tokens"].float()), data.columns["label"])
        loss.backward()
        optimizer.step()
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (100, 1), (100, 0), (7, 7), (1, 0)])
def test_the_rate_rises_then_falls(steps, warmup):
    """Against the recipe in one formula each: (k + 1) / warmup of the full rate, then half a cosine wave."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.5)
    rates = schedule(optimizer, steps, warmup)
    for k in range(steps):
        wave = (1 + math.cos(math.pi * (k - warmup) / max(1, steps - warmup))) / 2
        expected = (k + 1) / warmup if k < warmup else wave
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * expected, rel=1e-12), k
        optimizer.step()
        rates.step()


class Stops(Items):
    """Raises like Ctrl-C when the count of fetched batches is reached."""

    left = 10**9

    def __getitems__(self, index):
        Stops.left -= 1
        if Stops.left < 0:
            raise KeyboardInterrupt
        return super().__getitems__(index)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("after", [2, 5, 9, 14])
def test_resuming_changes_nothing(tmp_path, after):
    """60 items, 4 batches an epoch; stopped early in an epoch, inside a later one, and before the first save."""
    recipe = Recipe(epochs=5, warmup=1, lr=1e-2, save_every=3, seed=7)
    straight = Pooled(dropout=0.3)
    whole = fit(straight, toy(), toy(20, 1), recipe, folder=tmp_path / "whole", **QUIET)

    Stops.left = after
    with pytest.raises(KeyboardInterrupt):
        fit(Pooled(dropout=0.3), Stops(**toy().columns), toy(20, 1), recipe, folder=tmp_path / "parts", **QUIET)
    Stops.left = 10**9
    # Another start and another state of chance: neither may matter once something is stored.
    resumed = Pooled(seed=0 if after < 3 else 5, dropout=0.3)
    torch.manual_seed(123)
    parts = fit(resumed, Stops(**toy().columns), toy(20, 1), recipe, folder=tmp_path / "parts", **QUIET)
    same(straight.state_dict(), resumed.state_dict())
    for name in ("best.safetensors", "state.safetensors"):
        same(load_file(tmp_path / "whole" / name), load_file(tmp_path / "parts" / name))
    strip = [{k: v for k, v in record.items() if k != "seconds"} for record in whole.history]
    assert strip == [{k: v for k, v in record.items() if k != "seconds"} for record in parts.history]


def test_a_finished_run_is_not_repeated(tmp_path):
    first, second = Pooled(), Pooled(seed=3)
    recipe = Recipe(epochs=2, warmup=0)
    fit(first, toy(), toy(20, 1), recipe, folder=tmp_path, **QUIET)
    calls = []
    run = fit(second, toy(), toy(20, 1), recipe, folder=tmp_path, after_epoch=lambda *a: calls.append(a), **QUIET)
    assert not calls and len(run.history) == 2
    same(first.state_dict(), second.state_dict())


def test_a_folder_of_another_run_is_refused(tmp_path):
    fit(Pooled(), toy(), None, Recipe(epochs=1, warmup=0), folder=tmp_path, **QUIET)
    with pytest.raises(ValueError, match="epochs 1 -> 2"):
        fit(Pooled(), toy(), None, Recipe(epochs=2, warmup=0), folder=tmp_path, **QUIET)
    with pytest.raises(ValueError, match="another model"):
        fit(nn.Linear(5, 3), toy(), None, Recipe(epochs=1, warmup=0), folder=tmp_path, **QUIET)


def test_fit_leaves_the_callers_chance_alone():
    model = Pooled(dropout=0.5)
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    fit(model, toy(), toy(20, 1), Recipe(epochs=1, warmup=0), **QUIET)
    assert torch.equal(torch.rand(3), expected)


def test_denormals_are_0_in_training_and_evaluation_only():
    seen = []

    def forward(model, batch):
        seen.append((model.training, denormals.are_flushed()))
        return model(batch["tokens"])

    possible = torch.set_flush_denormal(True)  # not on every processor
    torch.set_flush_denormal(False)
    model = Pooled()
    fit(model, toy(16), toy(16, 1), Recipe(epochs=1, warmup=0), forward=forward, **QUIET)
    assert not denormals.are_flushed()
    evaluate(model, toy(16), forward=forward)
    assert not denormals.are_flushed()
    assert seen == [(True, possible), (False, possible), (False, possible)]


def test_every_path_has_its_own_loss():
    """Outputs (B, 2, K) in training: the mean of two cross-entropies, not the cross-entropy of the mean."""
    data, mine, theirs = toy(16), Pooled(), Pooled()

    def two(model, batch):
        logits = model(batch["tokens"])
        return torch.stack([logits, 3 * logits], 1) if model.training else logits

    fit(mine, data, None, Recipe(epochs=1, warmup=0), forward=two, **QUIET)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, weight_decay=0.01)
    logits, labels = theirs(data.columns["tokens"].float()), data.columns["label"]
    (sum(nn.functional.cross_entropy(k * logits, labels) for k in (1, 3)) / 2).backward()
    optimizer.step()
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_values_and_bf16():
    data = Items(tokens=torch.randn(64, 6, 5), label=torch.zeros(64))
    data.columns["label"] = data.columns["tokens"].mean((1, 2)) * 4

    class Value(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(5, 1)

        def forward(self, tokens):
            return self.line(tokens).mean(1)

    model = Value()
    recipe = Recipe(epochs=60, warmup=0, lr=3e-2, task="value", bf16=True)
    fit(model, data, None, recipe, **QUIET)
    assert evaluate(model, data, recipe).loss < 0.05 * float(data.columns["label"].var())
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_patience_stops_early():
    """The validation labels are shuffled, so that its loss soon only rises."""
    valid = toy(40, seed=1)
    valid.columns["label"] = (valid.columns["label"] + 1) % 3
    run = fit(Pooled(), toy(200), valid, Recipe(epochs=40, warmup=0, lr=1e-2, patience=3), **QUIET)
    assert len(run.history) < 40 and len(run.history) - 1 - run.best == 3


def test_split_keeps_groups_together():
    groups = [f"film{i // 3}" for i in range(30)]
    train, valid = split(30, 0.3, seed=2, groups=groups)
    assert sorted(train.tolist() + valid.tolist()) == list(range(30)) and len(valid) == 9
    assert not {groups[i] for i in train} & {groups[i] for i in valid}
    assert not torch.equal(valid, split(30, 0.3, seed=3, groups=groups)[1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: Recipe(epochs=0),
        lambda: Recipe(epochs=6),  # the default warms up for 10
        lambda: Recipe(task="rank"),
        lambda: Items(tokens=torch.zeros(3, 2), label=torch.zeros(4)),
        lambda: split(1, 0.5, 0),
        lambda: fit(Pooled(), toy()[[]], None, Recipe(), **QUIET),
        lambda: fit(Pooled().requires_grad_(False), toy(), None, Recipe(), **QUIET),
    ],
)
def test_bad_input_is_explained(call):
    with pytest.raises(ValueError, match=r".{30,}"):
        call()


def test_an_exploding_loss_is_told():
    data = Items(tokens=torch.full((4, 2, 5), float("inf")), label=torch.zeros(4, dtype=torch.long))
    with pytest.raises(FloatingPointError, match="step 0"):
        fit(Pooled(), data, None, Recipe(epochs=1, warmup=0), **QUIET)


def test_two_processes_train_like_one(tmp_path):
    """torchrun with two gloo processes: the same weights as one process, with 5 of 25 items in the last batch."""
    script = tmp_path / "two.py"
    script.write_text(
        textwrap.dedent("""
        import os
        import sys
        sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests/training"]
        from test_loop import Pooled, Recipe, evaluate, fit, toy
        from vtm_lesson.training.loop import distributed
        import torch.distributed as dist
        from safetensors.torch import save_file
        device = distributed("cpu")
        model, recipe = Pooled(), Recipe(epochs=3, warmup=1, lr=1e-2, batch=4)
        run = fit(model, toy(25), toy(21, 1), recipe, folder=sys.argv[2] + "/run", device=device, progress=False)
        seen = evaluate(model, toy(21, 1), recipe)
        assert dist.get_world_size() == 2
        found = model.state_dict() | {"outputs": seen.outputs}
        save_file(found, f"{sys.argv[2]}/{device}-{dist.get_rank()}.safetensors")
        dist.destroy_process_group()
        os._exit(0)  # after all is done, gloo ended one of 150 processes with "terminate called": torch's, not ours
        """)
    )
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(ROOT), str(tmp_path)], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone, recipe = Pooled(), Recipe(epochs=3, warmup=1, lr=1e-2, batch=4)
    fit(alone, toy(25), toy(21, 1), recipe, **QUIET)
    expected = alone.state_dict() | {"outputs": evaluate(alone, toy(21, 1), recipe).outputs}
    for rank in (0, 1):
        found = load_file(tmp_path / f"cpu-{rank}.safetensors")
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)
