// The streams of the emulated driver, for the emulated libraries.
#pragma once

#include <functional>

/// Does `work` after everything that was enqueued on `stream` before, or adds it to the graph that the
/// stream captures. Device memory, which is memory of the process, has its values only at that time.
void on_stream(void *stream, std::function<void()> work);
