"""What is asked of every store when its health is in question: nothing here knows a backend."""
