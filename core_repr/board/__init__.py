"""A page in the browser for one's runs."""
