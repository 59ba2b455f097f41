//! The async face of a World: driver task, HTTP, TLS listener, local endpoint, durable journal.
