"""Long conversations over real sockets: the proxy that spoils them, and the soak that counts what they leave behind."""
