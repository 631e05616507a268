"""JSON of many small records: the standard library's own encoder and decoder, made once and not for every record.

``JSONEncoder.encode`` builds its C encoder anew at each call, and ``json.loads`` guesses at the encoding of bytes; for
a manifest's line both take as long as the work itself.
"""

from __future__ import annotations

import json
import json.encoder
from typing import Any, Callable


def encoder(sort_keys: bool, allow_nan: bool) -> Callable[[Any], str]:
    """A function that gives JSON without spaces, with letters as they are; raises as ``json.dumps`` does."""
    plain = json.JSONEncoder(
        sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False, allow_nan=allow_nan, check_circular=False
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without the C accelerator
        return plain.encode
    arguments = (plain.key_separator, plain.item_separator, sort_keys, plain.skipkeys, allow_nan)
    chunks = make(None, plain.default, json.encoder.encode_basestring, None, *arguments)

    def encode(value: Any) -> str:
        return "".join(chunks(value, 0))

    return encode


_raw_decode = json.JSONDecoder().raw_decode


def decode(line: bytes) -> Any:
    """The value of a line that ``encoder`` gave; raises ``ValueError`` for what is not that."""
    text = line.decode("utf-8")
    value, end = _raw_decode(text)
    if end != len(text):
        raise ValueError(f"{len(text) - end} characters after a record")
    return value
