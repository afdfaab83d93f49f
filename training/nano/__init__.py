"""Training of youtu-nano, the small demonstration model that ships with the package."""
