"""The pure core: values in, values out. No network, no clock, no file, no event loop."""
