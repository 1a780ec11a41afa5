"""What puts a world model around an environment."""
