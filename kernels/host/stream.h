// How does a library on the CPU join the streams of the emulated driver?
#pragma once

#include <functional>

/// Does `work` after all that `stream` was told before, or has the graph do it that the stream captures.
/// Device memory is memory of the process, and holds what it should only then.
void on_stream(void *stream, std::function<void()> work);
