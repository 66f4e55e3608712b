"""The vocabulary: pure functions of one tensor, by theme."""
