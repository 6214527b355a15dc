"""Train a small digit classifier and write it as a .tflite file, without TensorFlow.

    pip install scikit-learn flatbuffers ai-edge-litert
    python examples/train_digits.py --output DIR

Trains on scikit-learn's bundled 8x8 digits and writes ``digits.tflite`` (one signature,
"classify": image float32[1, 8, 8, 1] in 0..1 -> probabilities float32[1, 10]) and
``digits_samples.npz``, twenty labelled digits that it was not trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 0
MAX_PIXEL = 16  # the bundled digits hold 0..16
SAMPLES_PER_DIGIT = 2

Layer = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class Digits(NamedTuple):
    """Part of the digits: images uint8[n, 8, 8] in 0..16, labels int64[n]."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The images as the model takes them: float32[n, 8, 8, 1] in 0..1."""
        return (self.images[..., np.newaxis] / MAX_PIXEL).astype(np.float32)


def split_digits() -> tuple[Digits, Digits]:
    """Return three quarters for training and one for testing, each digit in equal parts."""
    digits = load_digits()
    train_images, test_images, train_labels, test_labels = train_test_split(
        digits.images.astype(np.uint8),
        digits.target.astype(np.int64),
        test_size=0.25,
        stratify=digits.target,
        random_state=SEED,
    )
    return Digits(train_images, train_labels), Digits(test_images, test_labels)


def train(digits: Digits) -> list[Layer]:
    """Train and return each layer's weights float32[in, out] and bias float32[out]."""
    # 128 and 0.01 had the best 3-fold cross-validation within the training part.
    classifier = MLPClassifier((128,), alpha=0.01, max_iter=400, random_state=SEED)
    classifier.fit(digits.values.reshape(len(digits.labels), -1), digits.labels)
    return [
        (weights.astype(np.float32), bias.astype(np.float32))
        for weights, bias in zip(classifier.coefs_, classifier.intercepts_, strict=True)
    ]


class FileBuilder(flatbuffers.Builder):
    """Aligns constant data to 16 bytes, as the schema asks and the kernels need."""

    def CreateNumpyVector(self, x: npt.NDArray[Any]) -> int:  # noqa: N802 (flatbuffers' name)
        """Add a vector; bytes are a constant's data."""
        if x.dtype != np.uint8:
            return super().CreateNumpyVector(x)
        self.StartVector(1, x.size, 16)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        return self.EndVector()


class GraphWriter:
    """One graph of a model under construction; tensors are known by their index."""

    def __init__(self) -> None:
        self.tensors: list[schema.TensorT] = []
        self.buffers = [schema.BufferT()]  # buffer 0 is empty by convention
        self.codes: list[schema.OperatorCodeT] = []
        self.operators: list[schema.OperatorT] = []

    def tensor(self, name: str, shape: list[int]) -> int:
        """Add a float32 tensor."""
        self.tensors.append(
            schema.TensorT(name=name, shape=np.int32(shape), type=schema.TensorType.FLOAT32)
        )
        return len(self.tensors) - 1

    def constant(self, name: str, values: npt.NDArray[Any]) -> int:
        """Add a float32 or int32 constant."""
        index = self.tensor(name, list(values.shape))
        if values.dtype == np.int32:
            self.tensors[index].type = schema.TensorType.INT32
        self.tensors[index].buffer = len(self.buffers)
        self.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
        return index

    def operator(self, code: int, inputs: list[int], output: int, options: Any) -> int:
        """Add an operator and return its output."""
        self.codes.append(schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code))
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=len(self.codes) - 1,
                inputs=np.int32(inputs),
                outputs=np.int32([output]),
                builtinOptionsType=getattr(
                    schema.BuiltinOptions, type(options).__name__.removesuffix("T")
                ),
                builtinOptions=options,
            )
        )
        return output

    def to_bytes(self, signature: str, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """Return the file, its graph called through one signature."""
        graph = schema.SubGraphT(
            name="main",
            tensors=self.tensors,
            operators=self.operators,
            inputs=np.int32(list(inputs.values())),
            outputs=np.int32(list(outputs.values())),
        )
        definition = schema.SignatureDefT(
            signatureKey=signature,
            inputs=[schema.TensorMapT(name=n, tensorIndex=i) for n, i in inputs.items()],
            outputs=[schema.TensorMapT(name=n, tensorIndex=i) for n, i in outputs.items()],
        )
        model = schema.ModelT(
            version=3,
            description="handwritten digits, 8x8",
            operatorCodes=self.codes,
            subgraphs=[graph],
            buffers=self.buffers,
            signatureDefs=[definition],
        )
        builder = FileBuilder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def write_model(layers: list[Layer]) -> bytes:
    """Return the .tflite file: reshape, the layers with ReLU between them, softmax."""
    writer = GraphWriter()
    image = writer.tensor("image", [1, 8, 8, 1])
    flat = writer.constant("flat_shape", np.int32([1, 64]))
    hidden = writer.operator(
        schema.BuiltinOperator.RESHAPE,
        [image, flat],
        writer.tensor("pixels", [1, 64]),
        schema.ReshapeOptionsT(newShape=[1, 64]),
    )
    for number, (weights, bias) in enumerate(layers, start=1):
        is_last = number == len(layers)
        activation = schema.ActivationFunctionType
        hidden = writer.operator(
            schema.BuiltinOperator.FULLY_CONNECTED,
            [
                hidden,
                writer.constant(f"weights{number}", np.ascontiguousarray(weights.T)),
                writer.constant(f"bias{number}", bias),
            ],
            writer.tensor(f"layer{number}", [1, len(bias)]),
            schema.FullyConnectedOptionsT(
                fusedActivationFunction=activation.NONE if is_last else activation.RELU
            ),
        )
    probabilities = writer.operator(
        schema.BuiltinOperator.SOFTMAX,
        [hidden],
        writer.tensor("probabilities", [1, 10]),
        schema.SoftmaxOptionsT(beta=1.0),
    )
    return writer.to_bytes("classify", {"image": image}, {"probabilities": probabilities})


def accuracy(model: bytes, digits: Digits) -> float:
    """Return the share of digits that the written model gets right."""
    classify = Interpreter(model_content=model).get_signature_runner("classify")
    predicted = [
        int(classify(image=image[np.newaxis])["probabilities"].argmax()) for image in digits.values
    ]
    return float(np.mean(np.array(predicted) == digits.labels))


def choose_samples(digits: Digits) -> Digits:
    """Return the first few of each digit, whether the model gets them right or not."""
    chosen = [
        index
        for digit in range(10)
        for index in np.flatnonzero(digits.labels == digit)[:SAMPLES_PER_DIGIT]
    ]
    return Digits(digits.images[chosen], digits.labels[chosen])


def main() -> None:
    """Train, write both files and print how good the written model is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("digits"), metavar="DIR")
    args = parser.parse_args()

    train_digits, test_digits = split_digits()
    model = write_model(train(train_digits))
    samples = choose_samples(test_digits)

    args.output.mkdir(parents=True, exist_ok=True)
    model_path = args.output / "digits.tflite"
    model_path.write_bytes(model)
    np.savez_compressed(
        args.output / "digits_samples.npz", images=samples.images, labels=samples.labels
    )
    print(f"train accuracy {accuracy(model, train_digits):.4f} ({len(train_digits.labels)} digits)")
    print(f"test accuracy  {accuracy(model, test_digits):.4f} ({len(test_digits.labels)} digits)")
    print(f"wrote {model_path} ({len(model)} bytes) and {len(samples.labels)} samples")


if __name__ == "__main__":
    main()
