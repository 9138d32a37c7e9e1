//! What can be typed, and what is printed?
