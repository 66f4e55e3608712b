from __future__ import annotations

import itertools

import torch

from piste import race
from piste.race import task as tasks
from piste.race.tasks import BUILTIN, bpe, code, digits


def test_byte_pairs_come_back_as_the_text_and_merge_the_most_frequent_pair_first():
    text = "abab abab\n    déjà vu 12 12\n" * 3
    encoder = bpe.train_encoder(text, 270)
    assert encoder.decode(encoder.encode(text)) == text
    assert encoder.decode(encoder.encode("quite other, ünknown")) == "quite other, ünknown"
    assert next(iter(encoder.merges)) == (ord("a"), ord("b"))
    assert len(encoder.encode(text)) < len(text.encode())


def test_byte_pair_training_equals_counting_everything_anew_at_each_merge():
    text = "the cat sat on the mat; that cat, the rat. aaa aaaa aaaaa " * 4
    words = [list(w.encode()) for w in bpe._WORD.findall(text)]
    merges = {}
    while len(merges) < 20:
        counts: dict[tuple[int, int], int] = {}
        for word in words:
            for pair in itertools.pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        pair = min(counts, key=lambda p: (-counts[p], p))
        merges[pair] = 256 + len(merges)
        words = [bpe._merged(word, pair, merges[pair]) for word in words]
    assert bpe.train_encoder(text, 276).merges == merges


def test_code_is_split_by_file_and_its_training_and_validation_text_do_not_meet():
    assert not set(code.TRAIN_FILES) & set(code.VALID_FILES)
    data = race.find_task("code").data()
    assert data.train[0].max() < code.VOCABULARY and data.valid[0].shape == (code.VALIDATION_WINDOWS, 65)
    assert torch.equal(data.train[0][1, :-1], data.train[0][0, 1:])
    assert data.baselines["unigram"] < data.baselines["uniform"]


def test_the_gpt_starts_near_uniform_and_looks_only_back():
    task = race.find_task("code")
    model = tasks.build(task, 0)
    tokens = torch.randint(code.VOCABULARY, (2, 64), generator=torch.Generator().manual_seed(0))
    later = tokens.clone()
    later[:, 40:] = 0
    with torch.no_grad():
        for block in model.blocks:  # projections that start at zero would hide a leak
            torch.nn.init.normal_(block.attention.out.weight)
            torch.nn.init.normal_(block.mlp[-1].weight)
        assert torch.allclose(model(tokens)[:, :40], model(later)[:, :40], atol=1e-4)
        assert not torch.allclose(model(tokens)[:, 41:], model(later)[:, 41:], atol=1e-1)


def test_batches_depend_on_the_seed_only_and_an_epoch_shows_every_example_once():
    data = race.Data((torch.arange(10), torch.arange(10) * 2), (torch.arange(2),))
    first = [b for b, _ in zip(tasks.batches(data, 3, 7), range(6), strict=False)]
    torch.rand(5)
    again = [b for b, _ in zip(tasks.batches(data, 3, 7), range(6), strict=False)]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert len(set(torch.cat([b[0] for b in first[:3]]).tolist())) == 9
    assert all(torch.equal(2 * x, y) for x, y in first)
    other = next(tasks.batches(data, 3, 8))
    assert not torch.equal(other[0], first[0][0])


def test_a_model_depends_on_its_seed_only():
    task = race.find_task("digits-ae")
    a, b, c = (tasks.build(task, seed) for seed in (1, 1, 2))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(next(a.parameters()), next(c.parameters()))


def test_the_autoencoder_has_the_stated_shape():
    shapes = [tuple(p.shape) for p in digits.autoencoder().parameters() if p.ndim == 2]
    assert shapes == [(128, 64), (64, 128), (32, 64), (8, 32), (32, 8), (64, 32), (128, 64), (64, 128)]


def test_every_task_builds_and_a_step_lowers_its_loss():
    for name in sorted(set(BUILTIN) - {"code-800", "code-1600"}):
        task = race.find_task(name)
        data, model = tasks.load(task), tasks.build(task, 0)
        batch = next(tasks.batches(data, task.batch, 0))
        model.eval()
        loss = task.loss(model, *batch)
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                if p.grad is not None:
                    p -= 1e-3 * p.grad / (1e-8 + p.grad.norm())
        assert task.loss(model, *batch) < loss, name
        assert tasks.validate(task, model, data) > 0 and not model.training


def test_a_digest_tells_content_shape_and_type_apart():
    x = torch.arange(4.0)
    digests = {tasks.digest(x), tasks.digest(x.view(2, 2)), tasks.digest(x.double()), tasks.digest(x + 1)}
    assert len(digests) == 4 and tasks.digest(x.clone()) in digests
