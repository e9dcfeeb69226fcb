"""MQTT brokers for tests: mosquitto as a test wants it, else the embedded amqtt; and certificates for them."""
