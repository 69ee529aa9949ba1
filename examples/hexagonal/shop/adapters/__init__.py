"""What the shop is connected to the world by; nothing in the core imports it."""
