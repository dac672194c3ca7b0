"""Evidence that is alike for every SDK: a table of bad input, and ten minutes offline."""
