"""Time builds side by side."""
