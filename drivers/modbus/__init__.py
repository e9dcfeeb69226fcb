"""Modbus: block reads over TCP, RTU and RTU over TCP, and what the words mean."""
