//! Tests of both halves together, and with the vectors of RFC 7541.
