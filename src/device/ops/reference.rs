//! What would each operation give in f64, written as plainly as can be?
