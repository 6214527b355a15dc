"""Serve a model from an asyncio program: the event loop stays free while models run.

Each line of JSON sent to the port is an image, each line sent back its class.

    python examples/asyncio_service.py             # serve on a free port and try it
    python examples/asyncio_service.py --port 8765 # serve until Ctrl-C
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

import numpy as np
import numpy.typing as npt

import litert
from litert.samples import digits_model_path, load_digits

MAX_LINE_BYTES = 1 << 20


class DigitService:
    """Answers requests with a few models, so that as many run at the same time."""

    def __init__(self, num_models: int) -> None:
        # Runs of one model wait for each other; the file's pages are shared between models.
        self._models = [litert.Model(digits_model_path()) for _ in range(num_models)]
        self._idle: asyncio.Queue[litert.Model] = asyncio.Queue()
        for model in self._models:
            self._idle.put_nowait(model)

    async def classify(self, pixels: Any) -> dict[str, Any]:
        """Return the class of an image; a bad one is answered, not raised."""
        model = await self._idle.get()
        try:
            image = np.asarray(pixels, np.float32).reshape(1, 8, 8, 1)
            outputs = await model.arun({"image": image})
        except (litert.LiteRTError, ValueError, TypeError) as err:
            return {"error": str(err)}
        finally:
            self._idle.put_nowait(model)
        return {"digit": int(outputs["probabilities"].argmax())}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the lines of one connection."""
        async for line in reader:
            try:
                answer = await self.classify(json.loads(line))
            except json.JSONDecodeError as err:
                answer = {"error": str(err)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    def close(self) -> None:
        """Release the models."""
        for model in self._models:
            model.close()


async def try_it(port: int) -> None:
    """Send the sample digits, a few at a time."""

    async def ask(image: npt.NDArray[np.float32]) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(json.dumps(image.ravel().tolist()).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return answer

    images, labels = load_digits()
    answers = await asyncio.gather(*(ask(image) for image in images))
    is_right = [answer["digit"] == label for answer, label in zip(answers, labels, strict=True)]
    print(f"{sum(is_right)} of {len(labels)} right")


async def main() -> None:
    """Serve, or serve and try."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port
    service = DigitService(num_models=2)
    server = await asyncio.start_server(service.handle, "127.0.0.1", port, limit=MAX_LINE_BYTES)
    async with server:
        if port:
            await server.serve_forever()
        await try_it(server.sockets[0].getsockname()[1])
    service.close()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print()
