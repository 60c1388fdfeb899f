//! Cluster manager, hosts, balancers, circuit breakers and connection pools.
