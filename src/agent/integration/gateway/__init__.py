"""The API gateway agent: endpoints that are made, versioned, deprecated and removed while the server runs."""
