"""Tokenizers without files for tiny decoders: one of bytes, one of whole words."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.models import FACTORIES

SPECIAL = ("<pad>", "<s>", "</s>")
TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def byte_tokenizer(*, begins: bool = True, template: str | None = None) -> Any:
    """Every byte is a token, blanks too, as in GPT-2 without merges.

    Args:
        begins: Whether texts begin with ``<s>``; GPT-2's do not.
        template: The chat template.
    """
    letters = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    if begins:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>" if begins else None,
        bos_token="<s>" if begins else None,
        eos_token="</s>",
        chat_template=template,
    )


def word_tokenizer(words: str) -> Any:
    """Every word is a token; blanks are none."""
    vocabulary = [*SPECIAL, "<unk>", *dict.fromkeys(words.split())]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def decoder(family: str = "llama", **more: Any) -> Any:
    """Return a tiny decoder with room for the bytes."""
    return FACTORIES[family](16, vocab_size=259, **more)
