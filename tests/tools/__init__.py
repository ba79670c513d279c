"""What looks at the code: environments of rules, and what scripts can import."""
