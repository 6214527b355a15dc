"""Lets the sample language model answer a few questions."""

from __future__ import annotations

import textwrap

import litert
from litert.samples import load_speller_questions, speller_model_path

# One of each kind; an answer fits a line.
_ASKED = ("spell 5603", "21 + 78", "count from 62 to 66")
_MIN_RIGHT = 2
_MAX_TOKENS = 64  # an answer has some twenty


def ask_speller() -> bool:
    """Print questions, the answers as they come, and how fast they came.

    Returns:
        False where too many answers were wrong. True also where a package is missing that the
        model needs: one line says which extra to install.
    """
    try:
        with litert.LanguageModel(speller_model_path(), warmup=True) as model:
            chosen = _chosen_questions()
            prompts = [
                model.encode_chat([{"role": "user", "content": question}]) for question, _ in chosen
            ]
            print("\nA language model, asked what it was not trained on\n")
            num_right = 0
            for (question, answer), prompt in zip(chosen, prompts, strict=True):
                print(f"  > {question}\n  ", end="")
                num_right += _answers(model, prompt, answer)
            reason = f"  backend    {model.backend} ({model.backend_reason})"
            print()
            print(textwrap.fill(reason, 80, subsequent_indent=" " * 13))
    except litert.MissingExtraError as err:
        print(f"\nlanguage model left out: {err}")
        return True
    return num_right >= _MIN_RIGHT


def _chosen_questions() -> list[tuple[str, str]]:
    """Return the questions to ask and their answers."""
    answers = dict(load_speller_questions())
    return [(question, answers[question]) for question in _ASKED]


def _answers(model: litert.LanguageModel, prompt: list[int], right: str) -> bool:
    """Print the answer as it comes, and tell whether it is right."""
    stream = model.stream(prompt, temperature=0, max_tokens=_MAX_TOKENS)
    for chunk in stream:
        print(chunk.text, end="", flush=True)
    generation = stream.generation
    metrics = generation.metrics
    is_right = generation.text.strip() == right
    print(
        f"{'' if is_right else f'  (wrong: {right})'}\n"
        f"    {metrics.generated_tokens} tokens, the first after "
        f"{metrics.time_to_first_token_s * 1000:.2f} ms, "
        f"then {metrics.decode_tokens_per_s:,.0f} tokens/s"
    )
    return is_right
