//! Where do numbers live, and who computes on them?
