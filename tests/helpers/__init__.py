"""What tests share: checkouts to run in, servers and devices to talk to, made inputs, tables."""
