//! Which ids does a text become?
