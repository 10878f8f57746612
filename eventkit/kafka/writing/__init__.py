"""The write protocol: appends on their way into the log."""
