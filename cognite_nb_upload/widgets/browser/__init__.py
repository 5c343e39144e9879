"""Files of the browser's own computer."""
