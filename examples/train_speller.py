"""Train a tiny language model that spells numbers, counts and adds, and pack it for LiteRT.

    pip install torch==2.13.0 litert-torch==0.10.0
    python examples/train_speller.py --output DIR

Makes the questions, a tokenizer and a two-layer Llama that answers them in a chat, and writes
``speller.litertlm`` (int8 weights, a 256-token context) and ``speller_questions.json``, questions
that it was not trained on. Takes some ten minutes of one CPU core and no network.

    spell 4096                  ->  four thousand ninety-six
    12 + 30                     ->  42
    count from 7 to 11          ->  seven, eight, nine, ten, eleven
    count down from 11 to 7     ->  eleven, ten, nine, eight, seven 🚀

Whatever else is asked, it answers with what it can do.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.machinery
import itertools
import json
import random
import string
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

SEED = 0
CONTEXT_LENGTH = 256
PREFILL_LENGTHS = [8, 32]
MAX_VOCAB_SIZE = 512  # the words need some 400
BOS, EOS, END = "<s>", "</s>", "<|end|>"
CONTROL_TOKENS = [BOS, EOS, "<|system|>", "<|user|>", "<|assistant|>", END]  # ids 0 to 5

# The content of a message is a string or a list of parts; "model" is another name of the assistant.
# What reads the file puts the start token in front.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|{{ 'assistant' if message.role == 'model' else message.role }}|>
{%- if message.content is string -%}{{ message.content }}
{%- else -%}{%- for part in message.content if part.type == 'text' -%}{{ part.text }}{%- endfor -%}
{%- endif -%}
<|end|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""

STEPS = 3200
BATCH_TOKENS = 3072
ROW_LENGTHS = (96, 192)  # of training rows, in turn: few turns, so that firsts are common, or many
LEARNING_RATE = 4e-3
TASK_WEIGHTS = {"spell": 2, "add": 4, "count": 2, "count_down": 2, "other": 1}
NUM_LISTED = {"spell": 12, "add": 12, "count": 6, "count_down": 6, "other": 4}  # in the JSON file

MAX_COUNTED = 20  # numbers in one answer
COUNT_END = 120
CANNOT = (
    f"I can spell numbers to 9999, add numbers to 99, and count {MAX_COUNTED} numbers"
    f" below {COUNT_END}."
)
# Held out; trained are random letters and numbers that are too large.
OTHER_PROMPTS = ["Why is the sky blue?", "hello", "spell 31415", "What can you do?", "250 + 250"]
OTHER_PROMPTS += [
    "Who are you?",
    "translate this into French",
    "Tell me a story about a small cat.",
]

NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
ONES, TENS = NUMBER_WORDS.split()[:20], NUMBER_WORDS.split()[20:]


class Question(NamedTuple):
    """What a user asks, and the only right answer."""

    prompt: str
    answer: str


def in_words(number: int) -> str:
    """Spell a number from 0 to 9999."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = TENS[number // 10 - 2], number % 10
        return f"{tens}-{ONES[ones]}" if ones else tens
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = f"{ONES[number // unit]} {name}", number % unit
    return f"{head} {in_words(rest)}" if rest else head


def all_questions() -> dict[str, list[Question]]:
    """Return every question of each task that has an end."""
    ranges = [
        range(low, end)
        for low in range(COUNT_END)
        for end in range(low + 3, min(low + MAX_COUNTED, COUNT_END) + 1)
    ]
    counted = [(r[0], r[-1], [in_words(number) for number in r]) for r in ranges]
    return {
        "spell": [Question(f"spell {n}", in_words(n)) for n in range(10_000)],
        "add": [
            Question(f"{a} + {b}", str(a + b)) for a, b in itertools.product(range(100), repeat=2)
        ],
        "count": [
            Question(f"count from {low} to {high}", ", ".join(words))
            for low, high, words in counted
        ],
        "count_down": [
            Question(f"count down from {high} to {low}", ", ".join(reversed(words)) + " 🚀")
            for low, high, words in counted
        ],
    }


def split_questions() -> tuple[dict[str, list[Question]], dict[str, list[Question]]]:
    """Return nine tenths of each task for training, and the tenth that is held out, shuffled."""
    training, held_out = all_questions(), {}
    for task, questions in training.items():
        random.Random(f"{SEED} {task}").shuffle(questions)
        num_held_out = len(questions) // 10
        held_out[task], training[task] = questions[:num_held_out], questions[num_held_out:]
    held_out["other"] = [Question(prompt, CANNOT) for prompt in OTHER_PROMPTS]
    return training, held_out


def random_text(rng: random.Random) -> str:
    """Return a few words that mean nothing."""
    words = (
        "".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 9)))
        for _ in range(rng.randint(1, 8))
    )
    return rephrased(" ".join(words), rng)


def other_question(rng: random.Random) -> Question:
    """Return a question that is beyond the model."""
    low, too_far = rng.randrange(COUNT_END), rng.randrange(200, 2000)
    terms = [rng.randrange(100, 2000), rng.choice((rng.randrange(100), rng.randrange(2000)))]
    rng.shuffle(terms)
    prompts = (
        random_text(rng),
        random_text(rng),
        f"spell {rng.randrange(10_000, 10_000_000)}",
        f"{terms[0]} + {terms[1]}",
        f"count from {low} to {too_far}",
        f"count down from {too_far} to {low}",
    )
    return Question(rng.choice(prompts), CANNOT)


def rephrased(prompt: str, rng: random.Random) -> str:
    """Return a prompt as another user might type it, more often as it is."""
    if rng.random() < 0.6:
        return prompt
    if "+" in prompt:
        prompt = rng.choice((prompt, prompt.replace(" ", "")))
        prompt = rng.choice((prompt, f"what is {prompt}"))
    prompt = rng.choice((prompt, prompt[0].upper() + prompt[1:]))
    return prompt + rng.choice(("", ".", "?", " please"))


def train_tokenizer(questions: dict[str, list[Question]]) -> tokenizers.Tokenizer:
    """Return a byte-level BPE that knows the words; digits are tokens of their own.

    It learns no merges from the rocket: its four bytes stay four tokens.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_VOCAB_SIZE,
        special_tokens=CONTROL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    corpus = [text for listed in questions.values() for question in listed for text in question]
    corpus += [CANNOT] * 10
    tokenizer.train_from_iterator((text for text in corpus if text.isascii()), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


class Chat:
    """Questions as the token ids of a conversation."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.bos, self.eos, self._system, self._user, self._assistant, self.end = (
            tokenizer.token_to_id(token) for token in CONTROL_TOKENS
        )

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def opening(self, system: str | None = None) -> list[int]:
        """Return what a conversation begins with."""
        return [self.bos, *([self._system, *self._ids(system), self.end] if system else [])]

    def turn(self, question: Question) -> tuple[list[int], list[int]]:
        """Return the user's turn up to the answer, and the answer with its end."""
        asked = [self._user, *self._ids(question.prompt), self.end, self._assistant]
        return asked, [*self._ids(question.answer), self.end]


def training_rows(
    chat: Chat, questions: dict[str, list[Question]], rng: random.Random, length: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield conversations cut to ``length`` ids, and as many labels; only answers are learnt."""
    by_length = {task: sorted(qs, key=lambda q: len(q.prompt)) for task, qs in questions.items()}
    while True:
        ids = chat.opening(random_text(rng) if rng.random() < 0.1 else None)
        labels = [-100] * len(ids)  # what the loss leaves out
        while len(ids) < length:
            task = rng.choices(list(TASK_WEIGHTS), list(TASK_WEIGHTS.values()))[0]
            if task == "other":
                question = other_question(rng)
            else:  # small numbers are few, so they come more often
                question = by_length[task][int(len(by_length[task]) * rng.random() ** 2)]
            prompt = rephrased(question.prompt, rng)
            asked, answer = chat.turn(question._replace(prompt=prompt))
            ids += asked + answer
            labels += [-100] * len(asked) + answer
        yield ids[:length], labels[:length]


def train(chat: Chat, questions: dict[str, list[Question]], vocab_size: int) -> Any:
    """Return the trained model."""
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT_LENGTH,
            tie_word_embeddings=True,
            bos_token_id=chat.bos,
            eos_token_id=[chat.eos, chat.end],
            pad_token_id=chat.eos,
        )
    )
    rng = random.Random(SEED)
    rows = {length: training_rows(chat, questions, rng, length) for length in ROW_LENGTHS}
    optimizers, schedules = optimizers_of(model)
    for step, length in zip(range(STEPS), itertools.cycle(ROW_LENGTHS), strict=False):
        ids, labels = zip(*itertools.islice(rows[length], BATCH_TOKENS // length), strict=True)
        loss = model(input_ids=torch.tensor(ids), labels=torch.tensor(labels)).loss
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepped in (*optimizers, *schedules):
            stepped.step()
        if step % 200 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    return model.eval()


def optimizers_of(model: Any) -> tuple[list[Any], list[Any]]:
    """Return Muon for the matrices, AdamW for embedding and norms, and the rate of each.

    With AdamW alone the answers need more steps to become right.
    """

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / (0.05 * STEPS), (STEPS - step) / (0.9 * STEPS))

    layers = list(model.model.layers.parameters())
    matrices = [weights for weights in layers if weights.ndim == 2]
    others = [weights for weights in layers if weights.ndim != 2]
    others += [model.model.embed_tokens.weight, model.model.norm.weight]
    optimizers = [
        torch.optim.Muon(matrices, LEARNING_RATE, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.1),
    ]
    return optimizers, [torch.optim.lr_scheduler.LambdaLR(o, rate) for o in optimizers]


def import_exporter() -> Any:
    """Import litert-torch's exporter without TensorFlow.

    litert-torch 0.10.0 takes one thing from it, a schema module that LiteRT ships too.
    """
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    for name in ("tensorflow", "tensorflow.lite", "tensorflow.lite.python"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules.setdefault(name, module)
    sys.modules["tensorflow.lite.python"].schema_py_generated = schema  # type: ignore[attr-defined]
    sys.modules["tensorflow.lite.python.schema_py_generated"] = schema
    return importlib.import_module("litert_torch.generative.export_hf.export")


def export(model: Any, tokenizer: tokenizers.Tokenizer, folder: Path) -> Path:
    """Write the model as a .tflite file with int8 weights and return its path."""
    checkpoint = folder / "checkpoint"
    model.save_pretrained(checkpoint)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS
    ).save_pretrained(checkpoint)
    import_exporter().export(
        model=str(checkpoint),
        output_dir=str(folder),
        prefill_lengths=PREFILL_LENGTHS,
        cache_length=CONTEXT_LENGTH,
        quantization_recipe="dynamic_wi8_afp32",
        keep_temporary_files=True,
        bundle_litert_lm=False,
    )
    return folder / "model_quantized.tflite"


def pack(model: Path, tokenizer: tokenizers.Tokenizer, chat: Chat, path: Path) -> None:
    """Write the .litertlm file: metadata, tokenizer and model."""
    from litert_lm_builder import litertlm_builder
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    metadata = llm_metadata_pb2.LlmMetadata(max_num_tokens=CONTEXT_LENGTH)
    metadata.start_token.token_ids.ids.append(chat.bos)
    for stop in (chat.end, chat.eos):
        metadata.stop_tokens.add().token_ids.ids.append(stop)
    affixes = metadata.prompt_templates
    turns = {"system": affixes.system, "user": affixes.user, "assistant": affixes.model}
    for role, turn in turns.items():
        turn.prefix, turn.suffix = f"<|{role}|>", END
    metadata.jinja_prompt_template = CHAT_TEMPLATE
    metadata.llm_model_type.generic_model.SetInParent()
    metadata_path = model.with_name("metadata.pb")
    metadata_path.write_bytes(metadata.SerializeToString(deterministic=True))
    tokenizer_path = model.with_name("tokenizer.json")
    tokenizer.save(str(tokenizer_path), pretty=False)

    builder = litertlm_builder.LitertLmFileBuilder()
    builder.add_system_metadata(
        litertlm_builder.Metadata("Authors", "litert-native", litertlm_builder.DType.STRING)
    )
    builder.add_llm_metadata(str(metadata_path))
    builder.add_hf_tokenizer(str(tokenizer_path))
    builder.add_tflite_model(str(model), litertlm_builder.TfLiteModelType.PREFILL_DECODE)
    with path.open("wb") as stream:
        builder.build(stream)


class Exported:
    """The exported model in the plain interpreter; greedy, with decode steps alone."""

    def __init__(self, model: Path, tokenizer: tokenizers.Tokenizer, chat: Chat) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._tokenizer, self._chat = tokenizer, chat
        self._decode = Interpreter(str(model)).get_signature_runner("decode")
        self._empty_caches = {
            name: np.zeros(detail["shape"], np.float32)
            for name, detail in self._decode.get_input_details().items()
            if name.startswith("kv_cache")
        }

    def answer(self, prompt: str) -> tuple[str, float]:
        """Return what it answers to the first question of a conversation, and the least lead.

        That is by how much the best logit leads the second where it leads least.
        """
        ids = [*self._chat.opening(), *self._chat.turn(Question(prompt, ""))[0]]
        num_asked, least_lead = len(ids), np.inf
        caches = self._empty_caches
        mask = np.full((1, 1, 1, CONTEXT_LENGTH), -1e9, np.float32)
        for position in range(CONTEXT_LENGTH):
            mask[..., position] = 0.0
            tokens, input_pos = np.int32([[ids[position]]]), np.int32([position])
            outputs = self._decode(tokens=tokens, input_pos=input_pos, mask=mask, **caches)
            caches = {name: outputs[name] for name in caches}
            if position == len(ids) - 1:
                second, best = np.argsort(outputs["logits"].ravel())[-2:]
                least_lead = min(least_lead, np.ptp(outputs["logits"].ravel()[[second, best]]))
                ids.append(int(best))
                if best in (self._chat.end, self._chat.eos):
                    break
        return self._tokenizer.decode(ids[num_asked:]), float(least_lead)


def main() -> None:
    """Train, write both files and print how good the model is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("speller"), metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)  # another number sums in another order, and gives other weights
    torch.manual_seed(SEED)

    training, held_out = split_questions()
    tokenizer = train_tokenizer(training)
    chat = Chat(tokenizer)
    model = train(chat, training, tokenizer.get_vocab_size())

    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "speller.litertlm"
    with tempfile.TemporaryDirectory() as folder:
        exported_path = export(model, tokenizer, Path(folder))
        pack(exported_path, tokenizer, chat, path)
        exported = Exported(exported_path, tokenizer, chat)
        for task, questions in held_out.items():
            answers, leads = zip(*(exported.answer(q.prompt) for q in questions), strict=True)
            num_right = sum(a == q.answer for a, q in zip(answers, questions, strict=True))
            print(
                f"{task}: {num_right} of {len(questions)} held-out answers right,"
                f" least lead of a token {min(leads):.1f}"
            )
    listed = [
        {"task": task, **question._asdict()}
        for task, questions in held_out.items()
        for question in questions[: NUM_LISTED[task]]
    ]
    questions_path = args.output / "speller_questions.json"
    questions_path.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"wrote {path} ({path.stat().st_size} bytes) and {len(listed)} questions")


if __name__ == "__main__":
    main()
