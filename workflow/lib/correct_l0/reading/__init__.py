"""From curves to the answer."""
