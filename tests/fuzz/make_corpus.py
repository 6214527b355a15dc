"""Writes the seeds of the fuzz targets: python tests/fuzz/make_corpus.py [FOLDER]"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import litertlm_writer as writer
from data.model_kinds.attention import Attention, attention


def seeds() -> dict[str, bytes]:
    """Return the content of each seed by its path in the corpus."""
    sentencepiece = writer.Part("sentencepiece_tokenizer", b"\x0a\x03\x0a\x01x")
    return {
        "container/sound": writer.container(
            writer.sound_parts(), entries={"Authors": "a test", "count": 3}, alignment=16
        ),
        "container/smallest": writer.container(
            [writer.model(backend_constraint="cpu,gpu"), sentencepiece], alignment=16
        ),
        "container/unsupported": writer.container(
            [
                writer.model("tf_lite_artisan_text_decoder", backend_constraint="gpu_artisan"),
                writer.model("tf_lite_per_layer_embedder"),
                writer.Part("tflite_weights", b"w"),
                writer.Part(99, b"later", {"key": 1}),
            ],
            alignment=16,
        ),
        "container/empty": writer.container([]),
        "length_rewriter/composite": attention(
            Attention(mask="table", composite="odml.scaled_dot_product_attention")
        ).to_bytes(),
        "length_rewriter/mask": attention().to_bytes(),
        "length_rewriter/table": attention(Attention(mask="table")).to_bytes(),
        "length_rewriter/window": attention(Attention(mask="window", is_reshaped=True)).to_bytes(),
        "metadata/llm": writer.LLM_METADATA,
        "metadata/executor": writer.EXECUTOR_METADATA,
    }


def main() -> None:
    """Write the seeds into the folder that the command line names, by default into ``corpus``."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "corpus"
    for name, content in seeds().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
