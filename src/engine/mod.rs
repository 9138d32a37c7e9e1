//! Who is embedded next, and with whom?
