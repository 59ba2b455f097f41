//! The node agent: pod and container life cycles on simulated machines, behind the runtime port.
