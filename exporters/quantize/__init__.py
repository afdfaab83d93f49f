"""One algorithm per file, and the packings that operators ask for."""
