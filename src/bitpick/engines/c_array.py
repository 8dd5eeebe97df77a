"""A file as a C array, for programs on microcontrollers, which have no file system."""

from __future__ import annotations

LARGEST = 4_000_000  # bytes: more than such a program has room for; the source text is five times as long
_BYTES_PER_LINE = 16

_HEADER = """\
#ifndef MODEL_DATA_H_
#define MODEL_DATA_H_

constexpr unsigned int g_model_data_size = {size};
extern const unsigned char g_model_data[];

#endif  // MODEL_DATA_H_
"""

_SOURCE = """\
#include "model_data.h"

// The runtime reads the model where it is, and takes it to be aligned.
alignas(16) const unsigned char g_model_data[] = {{
{bytes}
}};
"""


def sources(content: bytes) -> dict[str, str]:
    """Return `model_data.h` and `model_data.cc` by name; they define `g_model_data` and `g_model_data_size`."""
    lines = (content[start : start + _BYTES_PER_LINE] for start in range(0, len(content), _BYTES_PER_LINE))
    text = "\n".join(f"    {' '.join(f'0x{byte:02x},' for byte in line)}" for line in lines)
    return {
        "model_data.h": _HEADER.format(size=len(content)),
        "model_data.cc": _SOURCE.format(bytes=text),
    }
