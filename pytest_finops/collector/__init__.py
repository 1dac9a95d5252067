"""The collector: sends what the plan says, politely and read-only, and keeps every answer or fault as a value."""
