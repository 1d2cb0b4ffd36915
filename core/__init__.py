"""What the product is and may do. A closed list of rooms; see docs/architecture.md."""
