"""What tests need, shipped with the product: a throw-away server and scripted outside services."""
