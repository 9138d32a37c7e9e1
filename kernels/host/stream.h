// How libraries on the CPU use the streams of the emulated driver.
#pragma once

#include <functional>

/// Does `work` after everything enqueued on `stream` before, or adds it to the graph that the stream
/// captures. Only then does device memory, which is memory of the process, hold its values.
void on_stream(void *stream, std::function<void()> work);
