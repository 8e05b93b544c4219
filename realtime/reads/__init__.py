"""Reads of the SDK API and of OFREP, independent of where documents come from: a read and an environment in, an answer
out. The product and the relay call the same function."""
