"""Many requests at once, in token ids; knows neither HTTP nor text."""
