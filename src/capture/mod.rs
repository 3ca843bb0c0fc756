//! From a file, a pipe or an interface to batches of frames.
