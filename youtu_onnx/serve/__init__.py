"""The server: an engine that answers many requests at once, an HTTP application over it, and the web page."""
