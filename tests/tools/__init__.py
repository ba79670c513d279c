"""What looks at the code: environments of rules, what scripts can import, and the schema that is made of it."""
