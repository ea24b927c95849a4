//! The HTTP interface over the ports of `assay-core`.
