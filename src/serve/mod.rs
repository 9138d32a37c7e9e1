//! What do the HTTP doors accept and answer?
