//! Stories of stores.
