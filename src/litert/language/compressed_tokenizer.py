"""Unpacks the tokenizer.json of a .litertlm file, however hostile its bytes."""

from __future__ import annotations

import zlib

from litert.errors import FileFormatError

# The largest vocabularies in use make about 35 MB.
MAX_TOKENIZER_BYTES = 1 << 28
_SIZE_BYTES = 8


def inflate_tokenizer(section: bytes, max_bytes: int = MAX_TOKENIZER_BYTES) -> bytes:
    """Unpack a section of kind ``"huggingface_tokenizer"``.

    Args:
        section: The size of the unpacked data as a little-endian uint64, and a zlib stream.
        max_bytes: What the unpacked data may have at most.

    Returns:
        The unpacked data, of exactly the size that the section declares.

    Raises:
        FileFormatError: The section is damaged, or has more or less data than it declares.
    """
    size = int.from_bytes(section[:_SIZE_BYTES], "little")
    if len(section) < _SIZE_BYTES or size > max_bytes:
        raise FileFormatError(
            f"damaged tokenizer: expected a size of {max_bytes} bytes at most and compressed data, "
            f"got a size of {size} in {len(section)} bytes"
        )
    stream = zlib.decompressobj()
    try:
        # One byte more than declared tells a longer stream from one that ends there.
        data = stream.decompress(section[_SIZE_BYTES:], size + 1)
    except zlib.error as err:
        raise FileFormatError(f"damaged tokenizer: {err}") from err
    if len(data) != size or not stream.eof or stream.unused_data:
        what = "more" if len(data) > size or stream.unused_data else "less"
        raise FileFormatError(
            f"damaged tokenizer: expected {size} bytes of compressed data, got {what}"
        )
    return data
