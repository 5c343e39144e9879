"""The moving of bytes: the engine that sends parts, the journal that remembers, the handle."""
