"""What the product is and may do. A closed list of modules; see docs/architecture.md."""
