//! Is every constant of config.json read?
