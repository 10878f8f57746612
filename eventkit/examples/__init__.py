"""Examples that come with the library: apps to try the command line on."""
