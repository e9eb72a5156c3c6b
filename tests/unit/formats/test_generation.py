"""Generated answers against greedy decoding by hand, on T5 and on a model of BART's kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.catalogue import method_facts
from peftsearch.errors import ConfigError
from peftsearch.formats import Generation, make_format
from peftsearch.injection import insert_architecture
from peftsearch.tasks import Row, Task
from tests.models import bert, randomise, t5_v1_1

WORDS = "a b c d e f g h i j k l m n o p q r s t u v w x y z".split()
TASK = Task(
    name="echo",
    description="made up",
    kind="generation",
    columns=("text",),
    label_column="answer",
    template="x {text}",
    metrics=("edit_similarity",),
    max_target_length=6,
)
ROWS: list[Row] = [
    {"text": "a b c", "answer": "c b a"},
    {"text": "d e f g h i j", "answer": "k"},
    {"text": "z", "answer": " y z y z "},
]


def tokenizer(template: str = "$A </s>", words: list[str] = WORDS) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "</s>", "<unk>", "<s>"]
    vocabulary = {word: i for i, word in enumerate([*special, *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(word, vocabulary[word]) for word in special]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        bos_token="<s>",
    )


def bart() -> Any:
    settings = {
        "vocab_size": 30,
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "decoder_ffn_dim": 24,
        "max_position_embeddings": 12,
        "dropout": 0.0,
        "pad_token_id": 0,
        "bos_token_id": 3,
        "eos_token_id": 1,
        "decoder_start_token_id": 1,
        "forced_eos_token_id": 1,
        "forced_bos_token_id": 3,
    }
    return talkative(randomise(BartForConditionalGeneration(BartConfig(**settings))))


def small_t5() -> Any:
    return talkative(t5_v1_1(16, num_layers=1, vocab_size=30, eos_token_id=1))


def talkative(model: Any) -> Any:
    """Give a model a head of its own: with tied embeddings a random one repeats one word."""
    generator = torch.Generator().manual_seed(18)
    shape = model.lm_head.weight.shape
    model.lm_head.weight = torch.nn.Parameter(torch.randn(shape, generator=generator))
    return model


KINDS = {"t5": (small_t5, "$A </s>"), "bart": (bart, "<s> $A </s>")}


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A tokenizer and a model that uses it."""
    build, template = KINDS[request.param]
    return tokenizer(template), build()


@torch.no_grad()
def greedy(model: Any, prompt: list[int], longest: int) -> list[int]:
    """Write one answer by whole forward passes: no cache, no padding, no other rows."""
    answer = [model.config.decoder_start_token_id]
    while len(answer) <= longest:
        logits: Tensor = model(
            input_ids=torch.tensor([prompt]),
            decoder_input_ids=torch.tensor([answer]),
            use_cache=False,
        ).logits
        answer.append(int(logits[0, -1].argmax()))
        if answer[-1] == model.config.eos_token_id:
            break
    return answer


def by_hand(words: Any, model: Any, task: Task) -> list[str]:
    prompts = [words(task.template.format(**row))["input_ids"] for row in ROWS]
    written = [greedy(model, prompt, task.max_target_length) for prompt in prompts]
    return [words.decode(ids, skip_special_tokens=True).strip() for ids in written]


def test_answers_are_those_of_greedy_decoding(pair: tuple[Any, Any]) -> None:
    words, model = pair
    form = make_format(TASK, words, model.config)
    assert isinstance(form, Generation)
    features = form.features(ROWS)
    batch = form.collate(features)
    found, loss = form.assess(model, batch)
    assert found == form.predict(model, batch) == by_hand(words, model, TASK)
    assert len({len(text.split()) for text in found}) > 1, "none ended before the others"
    assert loss == pytest.approx(form.loss(model, batch).item())


@pytest.mark.parametrize("method", sorted({*method_facts()} - {"none"}))
def test_answers_with_inserted_layers(method: str) -> None:
    """The cache and the padding of a batch change nothing, whatever is inserted."""
    words, model = tokenizer(), small_t5()
    plain = by_hand(words, model, TASK)
    backbone = wrap("test", model)
    architecture = testing.architecture_of(backbone, testing.choices_for(backbone, method))
    testing.draw(insert_architecture(backbone.hosts, architecture))
    form = make_format(TASK, words, model.config)
    found = form.predict(model, form.collate(form.features(ROWS)))
    assert found == by_hand(words, model, TASK)
    assert found != plain


def test_the_loss_is_the_model_s_own_mean_over_tokens(pair: tuple[Any, Any]) -> None:
    words, model = pair
    form = make_format(TASK, words, model.config)
    batch = form.collate(form.features(ROWS))
    torch.testing.assert_close(form.loss(model, batch), model(**batch).loss)


def test_targets_are_the_answers_and_one_end_token(pair: tuple[Any, Any]) -> None:
    words, model = pair
    for feature, row in zip(
        make_format(TASK, words, model.config).features(ROWS), ROWS, strict=True
    ):
        target = feature.target
        assert isinstance(target, list)
        assert target == words(row["answer"])["input_ids"]
        assert (target.count(1), target[-1]) == (1, 1)
        assert feature.reference == row["answer"].strip()


def test_a_tokenizer_that_adds_no_end_token() -> None:
    words, model = tokenizer("$A"), small_t5()
    (feature,) = make_format(TASK, words, model.config).features(ROWS[:1])
    assert feature.target == [*words("c b a")["input_ids"], 1]


def test_what_the_checkpoint_says_about_generation_is_left_aside(pair: tuple[Any, Any]) -> None:
    words, model = pair
    form = make_format(TASK, words, model.config)
    batch = form.collate(form.features(ROWS))
    model.generation_config.forced_bos_token_id = None
    plain = form.predict(model, batch)
    own = model.generation_config
    own.update(num_beams=3, min_length=6, forced_bos_token_id=7, no_repeat_ngram_size=1)
    own.update(repetition_penalty=3.0, max_length=3, length_penalty=5.0)
    assert form.predict(model, batch) == plain
    assert model.generation_config is own
    assert own.num_beams == 3


def test_long_targets_are_refused(pair: tuple[Any, Any]) -> None:
    words, model = pair
    short = replace(TASK, max_target_length=4)
    with pytest.raises(ConfigError, match=r"targets of task \"echo\" are longer than 4 tok") as e:
        make_format(short, words, model.config).features(ROWS)
    longest = max(len(words(row["answer"])["input_ids"]) for row in ROWS)
    assert f"max_target_length: {longest} in a task file" in e.value.hint
    fits = replace(TASK, max_target_length=longest)
    assert len(make_format(fits, words, model.config).features(ROWS)) == 3


def test_positions_of_the_model_bound_the_target() -> None:
    model, words = bart(), tokenizer("<s> $A </s>")
    form = make_format(replace(TASK, max_target_length=64), words, model.config)
    long = [{"text": "a", "answer": "a " * 11}]
    with pytest.raises(
        ConfigError, match=r"longer than 12 tokens; the longest, \"a a .*\", has 13"
    ) as caught:
        form.features(long)
    assert "The model takes no more" in caught.value.hint
    form.predict(model, form.collate(form.features(ROWS)))  # all positions are there


def test_an_encoder_cannot_write() -> None:
    with pytest.raises(
        ConfigError, match=r"needs an encoder-decoder model or a decoder; .* type \"bert\""
    ):
        make_format(TASK, tokenizer(), bert().config)


def test_a_tokenizer_of_the_targets_alone(tmp_path: Path) -> None:
    """A folder inside the model's, with other words under the same ids."""
    model = small_t5()
    tokenizer().save_pretrained(tmp_path / "model")
    others = [word.upper() for word in WORDS]
    tokenizer(words=others).save_pretrained(tmp_path / "model" / "upper")
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(tmp_path / "model")
    rows = [{**row, "answer": row["answer"].upper()} for row in ROWS]
    plain = make_format(TASK, words, model.config)
    for name in ("upper", str(tmp_path / "model" / "upper")):
        form = make_format(replace(TASK, target_tokenizer=name), words, model.config)
        batch, lower = form.collate(form.features(rows)), plain.collate(plain.features(ROWS))
        assert all(torch.equal(batch[key], lower[key]) for key in lower)
        said = [str(text) for text in plain.predict(model, lower)]
        assert form.predict(model, batch) == [text.upper() for text in said]
    with pytest.raises(ConfigError, match=r'"uper" is no folder of') as caught:
        make_format(replace(TASK, target_tokenizer="uper"), words, model.config)
    assert caught.value.hint == 'Did you mean "upper"?'


def test_a_target_tokenizer_that_is_too_large(tmp_path: Path) -> None:
    tokenizer(words=[*WORDS, "too", "many"]).save_pretrained(tmp_path)
    task = replace(TASK, target_tokenizer=str(tmp_path))
    with pytest.raises(ConfigError, match="has 32 tokens, but the model knows 30"):
        make_format(task, tokenizer(), small_t5().config)


def test_a_real_checkpoint_with_tokenizers_of_its_own(shared: Path) -> None:
    """English spelling to phonemes: the US alphabet it was trained on, and the British one."""
    folder, data = shared / "models" / "g2p-bart-us", shared / "data" / "g2p_us"
    if not (folder.is_dir() and data.is_dir()):
        pytest.skip("no g2p-bart-us or g2p_us in the folder of real data")
    from transformers import AutoTokenizer

    from peftsearch.tasks import Folder, load, score

    task = replace(
        TASK,
        label_column="target",
        template="{text}",
        metrics=("exact_match",),
        max_target_length=63,
        target_tokenizer="target_tokenizer",
        source=Folder(data),
    )
    words = AutoTokenizer.from_pretrained(folder)
    model = BartForConditionalGeneration.from_pretrained(folder).eval()
    form = make_format(task, words, model.config)
    features = form.features(load(task).test[:64])
    found, loss = form.assess(model, form.collate(features))
    assert loss < 0.15  # nats a token; a random start has 4.1
    right = score(task.metrics, [feature.reference for feature in features], found)
    assert right["exact_match"] > 0.5
